//! The grammar of full filters.

use serde_json::json;

use super::*;

const FIELDS: &[Field] = &[
    Field {
        name: "name",
        column: "t.name",
        kind: Kind::Text,
    },
    Field {
        name: "score",
        column: "t.score",
        kind: Kind::Int,
    },
    Field {
        name: "at",
        column: "t.at",
        kind: Kind::Time,
    },
];

fn sql(filter: &Json) -> Result<String, (String, String)> {
    let tree = Tree::parse(filter.as_object().unwrap(), FIELDS, &[]).map_err(|error| {
        let field = error.fields[0].clone();
        (field.pointer, field.code)
    })?;
    let mut sql = QueryBuilder::new("");
    tree.push(&mut sql);
    Ok(sql.sql().as_str().to_owned())
}

#[test]
fn a_filter_becomes_a_condition_without_any_of_its_values() {
    let filter = json!({"name": "x", "$or": [{"score": {"$gte": 1.0, "$lt": 5}}, {"name": {"$contains": "50%"}},
        {"at": {"$between": ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]}}, {"score": {"$in": [1, 2]}}],
        "score": {"$exists": false}, "at": {"$ne": "2026-01-01T00:00:00Z"}});
    assert_eq!(
        sql(&filter).unwrap(),
        "(t.name = $1 AND ((t.score >= $2 AND t.score < $3) OR (t.name ILIKE $4) OR (t.at BETWEEN $5 AND $6) \
         OR (t.score IN ($7, $8))) AND (t.score IS NULL) AND (t.at IS DISTINCT FROM $9))"
    );
    assert_eq!(sql(&json!({})).unwrap(), "true");
}

#[test]
fn whatever_is_wrong_is_named_at_its_place() {
    let nested = (0..7).fold(json!({"score": 1}), |inner, _| json!({"$and": [inner]}));
    for (filter, pointer, code) in [
        (json!({"nope": 1}), "/where/nope", "unknown_field"),
        (
            json!({"name": {"$regex": "x"}}),
            "/where/name/$regex",
            "unknown_operator",
        ),
        (json!({"score": {"$gt": "1"}}), "/where/score/$gt", "invalid"),
        (json!({"score": 1.5}), "/where/score", "invalid"),
        (json!({"name": null}), "/where/name", "invalid"),
        (json!({"name": ["a"]}), "/where/name", "invalid"),
        (json!({"name": {}}), "/where/name", "required"),
        (
            json!({"score": {"$contains": "1"}}),
            "/where/score/$contains",
            "not_text",
        ),
        (json!({"score": {"$in": []}}), "/where/score/$in", "out_of_range"),
        (
            json!({"score": {"$in": [1, "a"]}}),
            "/where/score/$in/1",
            "invalid",
        ),
        (
            json!({"at": {"$between": ["2026-01-01T00:00:00Z"]}}),
            "/where/at/$between",
            "out_of_range",
        ),
        (json!({"$or": []}), "/where/$or", "wrong_type"),
        (json!({"$or": [1]}), "/where/$or/0", "wrong_type"),
        (
            json!({"name": {"$exists": 1}}),
            "/where/name/$exists",
            "wrong_type",
        ),
        (
            nested,
            "/where/$and/0/$and/0/$and/0/$and/0/$and/0/$and/0",
            "too_deep",
        ),
    ] {
        let told = sql(&filter).unwrap_err();
        assert_eq!(told, (pointer.to_owned(), code.to_owned()), "{filter}");
    }
    let many: Vec<_> = (0..51).map(|n| json!({"score": n})).collect();
    assert_eq!(sql(&json!({"$or": many})).unwrap_err().1, "too_many");
}
