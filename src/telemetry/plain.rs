//! From the OpenMetrics text format to the older one of Prometheus (0.0.4), which is what most tools mean by "metrics".
//!
//! The samples are the same in both. The metadata differs: the older format names a counter as its samples are named,
//! and has no `info`, no units, and no end mark.

/// The same metrics in the older format.
pub(super) fn plain(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // HELP comes before TYPE, and has the name that only TYPE tells.
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            text.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_are_those_of_the_samples() {
        let open_metrics = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1\n\
            # HELP b What is running.\n# TYPE b info\nb_info{version=\"1 # 2\"} 1\n\
            # HELP c Much.\n# TYPE c gauge\nc{node=\"x\"} 2.5\n# EOF\n";
        assert_eq!(
            plain(open_metrics),
            "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\na_seconds_total 1\n\
             # HELP b_info What is running.\n# TYPE b_info gauge\nb_info{version=\"1 # 2\"} 1\n\
             # HELP c Much.\n# TYPE c gauge\nc{node=\"x\"} 2.5\n"
        );
    }
}
