//! The paths that a source file names, resolved: `super`, `self`, groups, renames and the crate's own name.
//!
//! It reads tokens instead of lines, so that a group broken over lines, a macro's body or an alias hides nothing. What it
//! cannot see: a name that comes through a glob (`use x::*`) or through a re-export of another file; both are caught where
//! the glob or the re-export itself names its origin.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path with the line it stands on: `["crate", "store", "Store"]`, `["std", "time", "Instant", "now"]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub line: usize,
    pub path: Vec<String>,
}

impl Named {
    /// It is this path, or one below it.
    pub fn is_within(&self, prefix: &str) -> bool {
        let mut own = self.path.iter();
        prefix.split("::").all(|part| own.next().is_some_and(|segment| segment == part))
    }

    /// The room that it names: the module below the crate's root.
    pub fn room(&self) -> Option<&str> {
        match self.path.first().map(String::as_str) {
            Some("crate") => self.path.get(1).map(String::as_str),
            _ => None,
        }
    }
}

/// Every path that the file names, tests in it included.
pub fn named(file: &str, text: &str) -> Vec<Named> {
    let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
    let module = module_of(file);
    let mut reader = Reader::default();
    reader.read(tokens, &module);
    let mut found = Vec::new();
    for (module, Named { line, path }) in std::mem::take(&mut reader.used) {
        found.push(Named { line, path: reader.resolve(&module, &path, false) });
    }
    for (module, Named { line, path }) in std::mem::take(&mut reader.said) {
        found.push(Named { line, path: reader.resolve(&module, &path, true) });
    }
    found
}

/// `src/node/fsm/mod.rs` is `crate::node::fsm`.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    let parts = inner.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
    std::iter::once("crate").chain(parts).map(str::to_owned).collect()
}

type Module = Vec<String>;

#[derive(Default)]
struct Reader {
    /// The leaves of `use` trees, as they stand.
    used: Vec<(Module, Named)>,
    /// Paths elsewhere, as they stand.
    said: Vec<(Module, Named)>,
    /// What a name in a module stands for.
    aliases: BTreeMap<(Module, String), Vec<String>>,
}

impl Reader {
    fn read(&mut self, tokens: TokenStream, module: &Module) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => {
                    self.read(group.stream(), module);
                    at += 1;
                }
                TokenTree::Ident(word) if word == "mod" && is_brace(tokens.get(at + 2)) => {
                    let inner = module.iter().cloned().chain([tokens[at + 1].to_string()]).collect();
                    if let TokenTree::Group(body) = &tokens[at + 2] {
                        self.read(body.stream(), &inner);
                    }
                    at += 3;
                }
                // `use<'a>` of a return type is no import.
                TokenTree::Ident(word) if word == "use" && !is_punct(tokens.get(at + 1), '<') => {
                    let end = (at..tokens.len()).find(|&i| is_punct(tokens.get(i), ';')).unwrap_or(tokens.len());
                    self.read_use(&tokens[at + 1..end], module, &[]);
                    at = end + 1;
                }
                TokenTree::Ident(_) => at = self.read_path(&tokens, at, module),
                _ => at += 1,
            }
        }
    }

    /// A path outside of an import; answers where it ends.
    fn read_path(&mut self, tokens: &[TokenTree], mut at: usize, module: &Module) -> usize {
        let line = tokens[at].span().start().line;
        // `a.b` names a field or a method of something, and no path.
        let is_member = at > 0
            && is_punct(tokens.get(at - 1), '.')
            && !is_punct(at.checked_sub(2).and_then(|i| tokens.get(i)), '.');
        let mut path = vec![tokens[at].to_string()];
        at += 1;
        while let (true, Some(TokenTree::Ident(next))) = (is_colons(tokens, at), tokens.get(at + 2)) {
            path.push(next.to_string());
            at += 3;
        }
        if !is_member {
            self.said.push((module.clone(), Named { line, path }));
        }
        at
    }

    /// One tree of an import, below `prefix`.
    fn read_use(&mut self, tokens: &[TokenTree], module: &Module, prefix: &[String]) {
        let mut path = prefix.to_vec();
        let mut rename = None;
        let mut line = 0;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            line = token.span().start().line;
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    rename = tokens.get(at + 1).map(ToString::to_string);
                    break;
                }
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for tree in inner.split(|token| is_punct(Some(token), ',')).filter(|tree| !tree.is_empty()) {
                        self.read_use(tree, module, &path);
                    }
                    return;
                }
                TokenTree::Punct(star) if star.as_char() == '*' => path.push("*".into()),
                _ => {}
            }
            at += 1;
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        let name = rename.or_else(|| path.last().cloned());
        if let Some(name) = name.filter(|name| name != "*" && name != "_") {
            self.aliases.insert((module.clone(), name), path.clone());
        }
        self.used.push((module.clone(), Named { line, path }));
    }

    fn resolve(&self, module: &Module, path: &[String], local: bool) -> Vec<String> {
        /// Longer chains of names for names are none that a person wrote.
        const ALIASES_MAX: usize = 8;
        let mut path = path.to_vec();
        let mut local = local;
        for _ in 0..ALIASES_MAX {
            match path.first().map(String::as_str) {
                Some("plugfish") => path[0] = "crate".into(),
                Some("self") if path.get(1).is_some_and(|next| next == "super") => drop(path.remove(0)),
                Some("self") if path.len() > 1 => path.splice(..1, module.iter().cloned()).for_each(drop),
                Some("super") => {
                    let ups = path.iter().take_while(|part| *part == "super").count();
                    let kept = module.len().saturating_sub(ups).max(1);
                    path.splice(..ups, module[..kept].iter().cloned()).for_each(drop);
                }
                Some("crate") | None => break,
                Some(first) => {
                    let alias = self.aliases.get(&(module.clone(), first.to_owned()));
                    match alias.filter(|alias| local || alias.first().map(String::as_str) != Some(first)) {
                        Some(alias) if alias.as_slice() != [first.to_owned()] => {
                            path.splice(..1, alias.iter().cloned()).for_each(drop);
                            // What an import stands for is written out; only another import can change it further.
                            local = false;
                        }
                        _ => break,
                    }
                }
            }
        }
        path
    }
}

fn is_punct(token: Option<&TokenTree>, what: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == what)
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn is_brace(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace)
}
