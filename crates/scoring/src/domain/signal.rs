//! What one recorded signal says that scoring cares about.
//!
//! Owns the rules by which type and metadata become feature, competitor and usage reading. Must not read wire types:
//! the edge hands the raw values over.

use jiff::Timestamp;
use uuid::Uuid;

/// Metadata keys that name the feature used.
pub const FEATURE_KEYS: &[&str] = &["feature"];
/// Metadata keys that name a competitor.
pub const COMPETITOR_KEYS: &[&str] = &["competitor"];
/// Metadata keys that name what a usage reading measures.
pub const METRIC_KEYS: &[&str] = &["metric"];
/// Metadata keys of the amount used, the first present counts.
pub const USAGE_KEYS: &[&str] = &["usage", "used", "apiCalls", "api_calls"];
/// Metadata keys of the plan's limit on it, the first present counts.
pub const LIMIT_KEYS: &[&str] = &["limit", "planLimit", "plan_limit"];
/// Signal types that begin with this are about the competitor named by the rest.
pub const COMPETITOR_PREFIX: &str = "competitor_";

/// Longest text kept in a key; longer is cut. Equals the longest signal type.
const MAX_TEXT: usize = 100;
/// Longest job title kept; longer is cut.
const MAX_TITLE: usize = 200;

/// A recorded signal, as scoring sees it. A nil actor or account is one that is not known (yet).
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedSignal {
    /// Its id.
    pub id: Uuid,
    /// Who acted.
    pub actor: Uuid,
    /// For which account it counts.
    pub account: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: String,
    /// The feature used, when it is another than the type; else empty.
    pub feature: String,
    /// The competitor it is about; empty for none.
    pub competitor: String,
    /// A reading of usage against a limit.
    pub usage: Option<UsageReading>,
    /// The actor's job title, as sent.
    pub title: Option<String>,
}

/// Usage against a limit of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageReading {
    /// What is measured: `metadata.metric`, else the signal's type.
    pub metric: String,
    /// Amount used; not negative.
    pub used: f64,
    /// The limit; above 0.
    pub limit: f64,
}

impl UsageReading {
    /// Used share of the limit; above 1 when exceeded.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.used / self.limit
    }
}

/// The raw values of a signal's metadata at the keys above.
#[derive(Debug, Clone, Copy, Default)]
pub struct RawFacets<'a> {
    /// At [`FEATURE_KEYS`].
    pub feature: Option<&'a str>,
    /// At [`COMPETITOR_KEYS`].
    pub competitor: Option<&'a str>,
    /// At [`METRIC_KEYS`].
    pub metric: Option<&'a str>,
    /// At [`USAGE_KEYS`].
    pub usage: Option<f64>,
    /// At [`LIMIT_KEYS`].
    pub limit: Option<f64>,
}

/// What type and metadata together say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facets {
    /// See [`RecordedSignal::feature`].
    pub feature: String,
    /// See [`RecordedSignal::competitor`].
    pub competitor: String,
    /// See [`RecordedSignal::usage`].
    pub usage: Option<UsageReading>,
}

impl Facets {
    /// Reads the facets of a signal of type `kind`. Values that make no sense (an empty name, a limit of 0, a
    /// negative or infinite amount) are as good as absent.
    #[must_use]
    pub fn read(kind: &str, raw: RawFacets<'_>) -> Self {
        let named = raw
            .competitor
            .map(|name| clean(name, MAX_TEXT).to_lowercase())
            .filter(|name| !name.is_empty());
        let competitor = named
            .or_else(|| {
                kind.strip_prefix(COMPETITOR_PREFIX)
                    .map(str::to_lowercase)
                    .filter(|name| !name.is_empty())
            })
            .unwrap_or_default();
        let feature = raw.feature.map(|name| clean(name, MAX_TEXT)).unwrap_or_default();
        let metric = raw
            .metric
            .map(|name| clean(name, MAX_TEXT))
            .filter(|name| !name.is_empty());
        let usage = raw
            .usage
            .zip(raw.limit)
            .filter(|(used, limit)| sensible(*used, *limit))
            .map(|(used, limit)| UsageReading {
                metric: metric.unwrap_or_else(|| kind.to_owned()),
                used,
                limit,
            });
        Self {
            feature: if feature == kind { String::new() } else { feature },
            competitor,
            usage,
        }
    }
}

/// A job title as it is kept: `None` when there is nothing to keep.
#[must_use]
pub fn clean_title(title: &str) -> Option<String> {
    Some(clean(title, MAX_TITLE)).filter(|title| !title.is_empty())
}

fn sensible(used: f64, limit: f64) -> bool {
    used.is_finite() && limit.is_finite() && used >= 0.0 && limit > 0.0 && (used / limit).is_finite()
}

/// Trimmed, without control characters (Postgres refuses NUL in text), at most `max` characters.
fn clean(text: &str, max: usize) -> String {
    text.trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(max)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_is_what_metadata_names_and_empty_when_it_is_the_type() {
        let read = |feature| {
            Facets::read(
                "api_call",
                RawFacets {
                    feature,
                    ..RawFacets::default()
                },
            )
            .feature
        };
        assert_eq!(read(Some(" auth\u{0} ")), "auth");
        assert_eq!(read(Some("api_call")), "");
        assert_eq!(read(None), "");
        assert_eq!(read(Some(&"x".repeat(300))).len(), 100);
    }

    #[test]
    fn a_competitor_comes_from_metadata_or_from_the_type() {
        let read = |kind, competitor| {
            Facets::read(
                kind,
                RawFacets {
                    competitor,
                    ..RawFacets::default()
                },
            )
            .competitor
        };
        assert_eq!(read("competitor_Acme", None), "acme");
        assert_eq!(read("competitor_visit", Some("Acme")), "acme");
        assert_eq!(read("page_view", Some("Acme")), "acme");
        assert_eq!(read("page_view", None), "");
        assert_eq!(read("competitor_", None), "");
    }

    #[test]
    fn usage_needs_both_numbers_and_a_positive_limit() {
        let read = |usage, limit| {
            Facets::read(
                "api_call",
                RawFacets {
                    usage,
                    limit,
                    ..RawFacets::default()
                },
            )
            .usage
        };
        let reading = read(Some(12_000.0), Some(15_000.0)).unwrap();
        assert_eq!(reading.metric, "api_call");
        assert!((reading.ratio() - 0.8).abs() < 1e-12);
        for (usage, limit) in [
            (Some(1.0), None),
            (None, Some(1.0)),
            (Some(1.0), Some(0.0)),
            (Some(-1.0), Some(1.0)),
            (Some(f64::NAN), Some(1.0)),
            (Some(f64::MAX), Some(f64::MIN_POSITIVE)),
        ] {
            assert_eq!(read(usage, limit), None, "{usage:?} of {limit:?}");
        }
    }
}
