//! Credentials that are not good, or not good enough.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::{Row, Subject};

/// Keys of other organizations, in every state but good.
pub(super) struct Keys {
    revoked: String,
    expired: String,
    viewer: String,
    scoped: String,
}

impl Keys {
    pub(super) async fn make(subject: &Subject) -> Self {
        let change = async |what: &str| {
            let api = subject.cluster.create_organization("Other").await.unwrap();
            let statement = format!("UPDATE gateway.api_keys SET {what} WHERE org_id = $1");
            let done = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(api.org.uuid());
            let done = done
                .execute(&mut subject.cluster.sql().await.unwrap())
                .await
                .unwrap();
            assert_eq!(done.rows_affected(), 1);
            api.key().to_owned()
        };
        Self {
            revoked: change("revoked_at = now()").await,
            expired: change("expires_at = now() - interval '1 second'").await,
            viewer: change("role = 'VIEWER'").await,
            scoped: change("scopes = ARRAY['accounts:read']").await,
        }
    }
}

pub(super) fn rows(subject: &Subject, keys: &Keys) -> Vec<Row> {
    let good = subject.api.key();
    let bare = |path: &str| {
        subject
            .api
            .bare(Method::GET, path)
            .timeout(std::time::Duration::from_secs(10))
    };
    let none = |name: &str, request: RequestBuilder| Row::new(name, request, 401, "unauthenticated");
    let header =
        |name: &str, value: &str| none(name, bare("/api/v1/accounts").header("authorization", value));
    let mut rows = vec![
        header("an empty header", ""),
        header("no scheme", good),
        header("another scheme", &format!("Basic {good}")),
        header("no token", "Bearer"),
        header("an empty token", "Bearer "),
        header("two tokens", &format!("Bearer {good} {good}")),
        header("a token and more", &format!("Bearer {good}x")),
        header("half a token", &format!("Bearer {}", &good[..good.len() / 2])),
        header(
            "an unsigned JWT",
            "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
        ),
        header("SQL", "Bearer ' OR 1=1--"),
        header("8 KiB", &format!("Bearer {}", "x".repeat(8_000))),
        header("another secret", &format!("Bearer {}", other_secret(good))),
        header("nobody's id", &format!("Bearer {}", other_id(good))),
        header("a revoked key", &format!("Bearer {}", keys.revoked)),
        header("an expired key", &format!("Bearer {}", keys.expired)),
        none(
            "the key in the query",
            bare(&format!("/api/v1/accounts?apiKey={good}")),
        ),
        none(
            "the key in another header",
            bare("/api/v1/accounts").header("x-api-key", good),
        ),
        none(
            "two headers",
            bare("/api/v1/accounts").bearer_auth(good).bearer_auth(good),
        ),
    ];
    for path in [
        "/api/v1/signals",
        "/api/v1/accounts",
        "/api/v1/contacts",
        "/api/v1/sources",
        "/api/v1/events",
    ] {
        rows.push(none(path, bare(path)));
    }
    let body = json!({"type": "x", "signals": [{"type": "x"}], "name": "x"});
    for path in ["/api/v1/signals", "/api/v1/signals/batch", "/api/v1/sources"] {
        rows.push(none(path, subject.api.bare(Method::POST, path).json(&body)));
        rows.push(none(
            path,
            subject
                .api
                .bare(Method::POST, path)
                .json(&body)
                .bearer_auth(&keys.revoked),
        ));
    }
    let denied = |name: &str, key: &str, method: Method, path: &str| {
        let request = subject.api.bare(method, path).bearer_auth(key);
        let request = if path == "/api/v1/sources" {
            request.json(&json!({"type": "github", "name": "x"}))
        } else {
            request.json(&json!({"type": "x"}))
        };
        Row::new(format!("{name} {path}"), request, 403, "permission_denied")
    };
    rows.extend([
        denied("a viewer", &keys.viewer, Method::POST, "/api/v1/signals"),
        denied("a viewer", &keys.viewer, Method::POST, "/api/v1/sources"),
        denied("another scope", &keys.scoped, Method::POST, "/api/v1/signals"),
        denied("another scope", &keys.scoped, Method::POST, "/api/v1/sources"),
        Row::new(
            "another scope",
            subject
                .api
                .with_key(&keys.scoped)
                .request(Method::GET, "/api/v1/contacts"),
            403,
            "permission_denied",
        ),
        Row::new(
            "another scope",
            subject
                .api
                .with_key(&keys.scoped)
                .request(Method::GET, "/api/v1/events"),
            403,
            "permission_denied",
        ),
    ]);
    rows
}

/// The same key with another secret, whose checksum is right.
fn other_secret(key: &str) -> String {
    let (head, _) = key.rsplit_once('_').unwrap();
    let (head, secret) = head.rsplit_once('_').unwrap();
    checked(&format!("{head}_{}", secret.chars().rev().collect::<String>()))
}

/// The key of an id that nobody has, whose checksum is right.
fn other_id(key: &str) -> String {
    let (head, _) = key.rsplit_once('_').unwrap();
    let mut parts: Vec<String> = head.split('_').map(str::to_owned).collect();
    parts[2] = parts[2].chars().rev().collect();
    checked(&parts.join("_"))
}

fn checked(body: &str) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(body.as_bytes());
    format!("{body}_{:08x}", crc.sum())
}
