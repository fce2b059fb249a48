//! Every decision has a row with rule, evidence and confidence.

use crate::harness::*;

type Row = (String, String, String, f32, bool);

const DECISIONS: &str =
    "SELECT kind, rule, evidence, confidence, other_id IS NOT NULL FROM decisions ORDER BY id";

#[tokio::test]
async fn every_decision_has_a_row_with_rule_evidence_and_confidence() {
    let base = Base::create().await;
    let replica = base.replica();
    for signal in [
        "anon=a1",
        "anon=a1; email=jane@acme.com",
        "github=octo",
        "github=octo; email=jane@acme.com",
        "email=john@acme.com; anon=a1",
        "domain=acme.com; org=acme-inc",
        "domain=acme.io; org=acme-inc",
        "domain=a.com; account=Mercury",
        "domain=b.com; account=Mercury",
    ] {
        replica.resolve(org(1), &[signal]).await;
    }
    let rows: Vec<Row> = base.rows(DECISIONS).await;
    let rows: Vec<_> = rows
        .iter()
        .map(|(kind, rule, evidence, ..)| format!("{kind} {rule} {evidence}"))
        .collect();
    assert_eq!(
        rows,
        [
            "person_created email jane@acme.com",
            "stitched anonymous_id a1",
            "account_created email_domain acme.com",
            "account_linked email_domain acme.com",
            "person_created github_login octo",
            "merged github_login octo",
            "person_created email john@acme.com",
            "kept_apart anonymous_id a1",
            "account_linked email_domain acme.com",
            "key_attached github_org acme-inc",
            "kept_apart github_org acme-inc",
            "account_created stated_domain acme.io",
            "account_created stated_domain a.com",
            "name_ambiguous stated_name mercury",
            "account_created stated_domain b.com",
        ]
    );
    let pairs: Vec<Row> = base.rows(DECISIONS).await;
    for (kind, _, _, confidence, has_other) in pairs {
        assert!((0.0..=1.0).contains(&confidence));
        let two = [
            "stitched",
            "merged",
            "account_linked",
            "kept_apart",
            "name_ambiguous",
        ]
        .contains(&kind.as_str());
        assert_eq!(two, has_other, "{kind}");
    }
    // Identities and traces say what they were taken from, and point to the signal.
    let bare = "SELECT count(*) FROM (SELECT rule, evidence, confidence FROM identities
                UNION ALL SELECT rule, evidence, confidence FROM account_keys) AS held
                WHERE rule = '' OR evidence = '' OR confidence NOT BETWEEN 0 AND 1";
    assert_eq!(base.count(bare).await, 0);
}
