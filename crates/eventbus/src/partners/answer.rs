//! The broker's question who connects, and the answer, in the claims of NATS.
//!
//! Source: nats-io/jwt v2 (`AuthorizationRequest`, `AuthorizationResponse`, `UserClaims`).

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::key::{IssuerKey, server_signed};
use super::{Grant, consumers};

/// Bytes of a partner's own messages: requests and acknowledgements.
const MAX_PAYLOAD: i64 = 8_192;

/// Who connects, as the broker tells.
#[derive(Debug)]
pub(super) struct Question {
    /// The broker's key, for whom the answer is.
    pub(super) server: String,
    /// The key that the broker gave the connection.
    pub(super) connection: String,
    pub(super) user: String,
    pub(super) password: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    nats: Body,
}

#[derive(Deserialize)]
struct Body {
    server_id: ServerId,
    user_nkey: String,
    #[serde(default)]
    connect_opts: Option<Options>,
}

#[derive(Deserialize)]
struct ServerId {
    id: String,
}

#[derive(Deserialize, Default)]
struct Options {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    pass: Option<String>,
}

impl Question {
    /// Reads it; `None` unless a server signed it.
    pub(super) fn read(token: &[u8]) -> Option<Self> {
        let token = std::str::from_utf8(token).ok()?;
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, claims) = signed.split_once('.')?;
        let claims: Claims = serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?).ok()?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        let Body {
            server_id,
            user_nkey,
            connect_opts,
        } = claims.nats;
        if claims.iss != server_id.id || !server_signed(&claims.iss, signed, &signature) {
            return None;
        }
        let Options { user, pass } = connect_opts.unwrap_or_default();
        Some(Self {
            server: server_id.id,
            connection: user_nkey,
            user: user.unwrap_or_default(),
            password: pass.unwrap_or_default(),
        })
    }
}

/// Where and as whom a partner is let in.
pub(super) struct Pass<'a> {
    pub(super) account: &'a str,
    pub(super) credential: Uuid,
    pub(super) grant: &'a Grant,
    pub(super) stream: &'a str,
}

/// The answer, signed; `Err` is the reason of a refusal, which the broker logs and the client does not see.
pub(super) fn answer(
    key: &IssuerKey,
    question: &Question,
    verdict: Result<Pass<'_>, &str>,
    now: i64,
) -> String {
    let nats = match verdict {
        Ok(pass) => {
            json!({"jwt": user(key, question, &pass, now), "type": "authorization_response", "version": 2})
        }
        Err(reason) => json!({"error": reason, "type": "authorization_response", "version": 2}),
    };
    let (subject, audience) = (&question.connection, &question.server);
    sign(
        key,
        &json!({"iat": now, "iss": key.public(), "sub": subject, "aud": audience, "nats": nats}),
    )
}

fn user(key: &IssuerKey, question: &Question, pass: &Pass<'_>, now: i64) -> String {
    let publish: Vec<String> = (1..=pass.grant.max_consumers)
        .flat_map(|slot| consumers::subjects(pass.stream, &consumers::name_of(pass.credential, slot)))
        .collect();
    let hear = format!("{}.>", consumers::inbox_of(pass.credential));
    sign(
        key,
        &json!({
            "iat": now,
            "iss": key.public(),
            "sub": question.connection,
            "aud": pass.account,
            "name": pass.credential.to_string(),
            "nats": {
                "pub": {"allow": publish},
                "sub": {"allow": [hear]},
                "subs": pass.grant.max_subscriptions,
                "data": -1,
                "payload": MAX_PAYLOAD,
                "type": "user",
                "version": 2,
            },
        }),
    )
}

fn sign(key: &IssuerKey, claims: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"}).to_string();
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", encode(&header), encode(&claims.to_string()));
    let signature = BASE64URL_NOPAD.encode(&key.sign(&signed));
    format!("{signed}.{signature}")
}
