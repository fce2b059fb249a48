//! What kind of company it is, against the ideal customer profile.

use super::{Evidence, Reading, float};
use crate::domain::facts::{AccountFacts, Firmographics};
use crate::domain::model::{FitRule, Icp};

/// Matched criteria over all criteria of the profile. What is not known matches nothing.
pub(super) fn firmographic_fit(rule: &FitRule, facts: &AccountFacts) -> Reading {
    let Some(icp) = &rule.icp else {
        return Reading::no_data("No ideal customer profile is set.");
    };
    let company = &facts.firmographics;
    if company.is_empty() {
        return Reading::no_data("Size, industry, country and funding of the company are not known.");
    }
    let checks = checks(icp, company);
    let matched: Vec<&str> = checks
        .iter()
        .filter(|(_, is_match)| *is_match)
        .map(|(what, _)| *what)
        .collect();
    let total = i64::try_from(checks.len()).unwrap_or(i64::MAX);
    let count = i64::try_from(matched.len()).unwrap_or(i64::MAX);
    let named = if matched.is_empty() {
        String::new()
    } else {
        format!(": {}", matched.join(", "))
    };
    Reading {
        value: if total == 0 {
            0.0
        } else {
            float(count) / float(total)
        },
        evidence: Evidence {
            has_data: true,
            summary: format!("{count} of {total} criteria of the ideal customer profile match{named}."),
            count,
            ..Evidence::default()
        },
    }
}

fn checks(icp: &Icp, company: &Firmographics) -> Vec<(&'static str, bool)> {
    let mut checks = Vec::new();
    if let Some(range) = icp.employees {
        checks.push((
            "size",
            company
                .employees
                .is_some_and(|n| (range.min..=range.max).contains(&n)),
        ));
    }
    let mut among = |what, list: &[String], value: &Option<String>| {
        if !list.is_empty() {
            checks.push((
                what,
                value.as_deref().is_some_and(|v| list.iter().any(|l| same(l, v))),
            ));
        }
    };
    among("industry", &icp.industries, &company.industry);
    among("country", &icp.countries, &company.country);
    among("funding", &icp.funding_stages, &company.funding_stage);
    checks
}

/// `Series A`, `series-a` and `series_a` are the same.
fn same(a: &str, b: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect()
    };
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Model;

    fn read(firmographics: Firmographics) -> Reading {
        let facts = AccountFacts {
            firmographics,
            ..AccountFacts::default()
        };
        firmographic_fit(&Model::built_in().unwrap().firmographic_fit, &facts)
    }

    #[test]
    fn each_criterion_that_matches_gives_its_share_and_the_unknown_gives_none() {
        let all = read(Firmographics {
            employees: Some(120),
            industry: Some("SaaS".into()),
            country: None,
            funding_stage: Some("Series B".into()),
        });
        assert!((all.value - 1.0).abs() < 1e-12, "{all:?}");
        let some = read(Firmographics {
            employees: Some(3),
            industry: Some("saas".into()),
            ..Firmographics::default()
        });
        assert!((some.value - 1.0 / 3.0).abs() < 1e-12, "{some:?}");
        assert!(!read(Firmographics::default()).evidence.has_data);
    }
}
