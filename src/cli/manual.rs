//! The manual page and the shell completions, generated from the definition of the command line.
//!
//! No command is named here, so a new command is in both automatically.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;

/// What the page says beside what can be typed.
const REST: &str = r#".SH EXIT STATUS
0 when it is done, 1 when it failed while running, 2 when the command line or the configuration is wrong.
.SH SIGNALS
.B serve
reads its configuration again at SIGHUP, and ends in order at SIGTERM and SIGINT.
.SH FILES
.TP
/etc/plugfish/nodes.yaml
The configuration, where ./nodes.yaml is not there and none is named.
.TP
/var/lib/plugfish
The state, under systemd. Accounts, sessions and unfinished commands are in it.
.SH ENVIRONMENT
.TP
RUST_LOG
What is logged, such as debug, or info,plugfish=debug.
.TP
NO_COLOR
No colours on a terminal, whatever its value.
"#;

/// `plugfish completions`.
pub(super) fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "plugfish", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// `plugfish man`: one page, with a section for each command.
pub(super) fn page() -> io::Result<String> {
    let whole = Cli::command();
    let mut text = Vec::new();
    let man = Man::new(whole.clone()).manual("plugfish");
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let mut page = String::from_utf8_lossy(&text).into_owned();
    for command in whole.get_subcommands() {
        let name = format!("plugfish {}", command.get_name());
        page.push_str(&format!(".SH {}\n", name.to_uppercase().replace('-', r"\-")));
        // Unbuilt, it does not have the options that all commands share, and they are on the page already.
        let command = command.clone().disable_help_flag(true).disable_version_flag(true).bin_name(name);
        let man = Man::new(command.clone());
        let mut text = Vec::new();
        man.render_description_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        if command.get_arguments().next().is_some() {
            man.render_options_section(&mut text)?;
        }
        let text = String::from_utf8_lossy(&text);
        page.push_str(&text.replace(".SH DESCRIPTION\n", "").replace(".SH ", ".SS "));
    }
    page.push_str(REST);
    // The lines in which every section says how an apostrophe is written: once is enough.
    let apostrophe = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";
    Ok(format!("{apostrophe}{}", page.replace(apostrophe, "")))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_command_is_on_the_page_and_in_the_completions() {
        let page = page().unwrap();
        let bash = completions(Shell::Bash);
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let heading = format!("\n.SH PLUGFISH {}\n", name.to_uppercase().replace('-', r"\-"));
            assert!(page.contains(&heading), "{name} is not on the page");
            assert!(bash.contains(name), "{name} is not completed");
        }
        assert!(page.contains(r"\-\-rack\-control"), "{page}");
        assert!(Shell::value_variants().iter().all(|shell| !completions(*shell).is_empty()));
    }
}
