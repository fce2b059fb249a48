//! Routes with handlers of their own, described once: for `Allow`, `OPTIONS` and the OpenAPI document.

use serde_json::Value;

/// A route that is not transcoded. Kept beside its handler.
#[derive(Debug, Clone)]
pub struct ByHand {
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// The path, with `{name}` for a segment.
    pub path: &'static str,
    /// Whether it needs no credentials.
    pub public: bool,
    /// Its operation in the OpenAPI document, as far as it is its own; `None` keeps it out of there.
    pub operation: Option<Value>,
}

/// All of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HandRoutes(std::sync::Arc<[ByHand]>);

impl HandRoutes {
    /// The routes.
    #[must_use]
    pub fn new(routes: Vec<ByHand>) -> Self {
        Self(routes.into())
    }

    /// Every route.
    pub fn all(&self) -> impl Iterator<Item = &ByHand> {
        self.0.iter()
    }

    /// The methods that a path answers to.
    pub fn methods(&self, path: &str) -> Vec<&'static str> {
        self.0
            .iter()
            .filter(|route| fits(route.path, path))
            .map(|route| route.method)
            .collect()
    }

    /// Whether a route has this path word by word.
    #[must_use]
    pub fn names(&self, path: &str) -> bool {
        self.0.iter().any(|route| route.path == path)
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(t), Some(p)) if t == p || (t.starts_with('{') && !p.is_empty()) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_template_fits_its_paths_only() {
        assert!(fits("/hooks/github/{sourceId}", "/hooks/github/x"));
        for other in [
            "/hooks/github/",
            "/hooks/github",
            "/hooks/github/x/y",
            "/hooks/gitlab/x",
        ] {
            assert!(!fits("/hooks/github/{sourceId}", other), "{other}");
        }
    }
}
