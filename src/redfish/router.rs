//! From the path of a request to its route.

use std::sync::LazyLock;

use super::sitemap::{Route, SITEMAP};

/// The sitemap taken apart, once: finding the route is a good part of the cost of a read.
static PARTS: LazyLock<Vec<(Vec<&str>, &Route)>> =
    LazyLock::new(|| SITEMAP.iter().map(|route| (route.path.split('/').collect(), route)).collect());

/// The route of a path, with a trailing slash or without, and the parts of the path where the sitemap has `{}`.
pub fn route(path: &str) -> Option<(&'static Route, Vec<&str>)> {
    let given: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    let fits = |(part, given): (&&str, &&str)| if *part == "{}" { !given.is_empty() } else { part == given };
    let is_it = |parts: &[&str]| parts.len() == given.len() && parts.iter().zip(&given).all(fits);
    let (parts, route) = PARTS.iter().find(|(parts, _)| is_it(parts))?;
    let ids = parts.iter().zip(&given).filter(|(part, _)| **part == "{}").map(|(_, given)| *given);
    Some((*route, ids.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_find_their_routes() {
        let find = |path| route(path).map(|(route, ids)| (route.path, ids));
        assert_eq!(find("/redfish/v1/"), Some(("/redfish/v1", vec![])));
        assert_eq!(find("/redfish/v1"), Some(("/redfish/v1", vec![])));
        assert_eq!(find("/redfish/v1/Systems/n-1"), Some(("/redfish/v1/Systems/{}", vec!["n-1"])));
        assert_eq!(
            find("/redfish/v1/Systems/n-1/Processors/0/"),
            Some(("/redfish/v1/Systems/{}/Processors/{}", vec!["n-1", "0"]))
        );
        for unknown in ["/", "/redfish/v2", "/redfish/v1/Systems//", "/redfish/v1/systems", "/redfish/v1/Systems/a/b"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }
}
