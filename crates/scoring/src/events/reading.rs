//! Recorded signals from the wire to what scoring sees of them.

use contracts::convert::from_timestamp;
use contracts::signals::v1::Signal;
use eventbus::HandlerError;
use prost_types::Struct;
use prost_types::value::Kind;
use uuid::Uuid;

use super::{id, unreadable};
use crate::domain::signal::{
    COMPETITOR_KEYS, FEATURE_KEYS, Facets, LIMIT_KEYS, METRIC_KEYS, RawFacets, RecordedSignal, USAGE_KEYS,
    clean_title,
};
use crate::store::micros;

/// A signal that cannot be read makes its whole batch poison: counting the rest would lose it unseen.
pub(super) fn recorded(signal: Signal) -> Result<RecordedSignal, HandlerError> {
    let at = signal
        .timestamp
        .as_ref()
        .or(signal.received_at.as_ref())
        .and_then(from_timestamp);
    let at = at.ok_or_else(|| unreadable("a signal has no time"))?;
    let raw = signal.metadata.as_ref().map(facets).unwrap_or_default();
    let Facets {
        feature,
        competitor,
        usage,
    } = Facets::read(&signal.r#type, raw);
    Ok(RecordedSignal {
        id: id("signals.id", &signal.id)?,
        actor: optional_id("signals.actor_id", signal.actor_id.as_deref())?,
        account: optional_id("signals.account_id", signal.account_id.as_deref())?,
        at: micros(at),
        feature,
        competitor,
        usage,
        title: signal
            .actor
            .and_then(|actor| actor.title)
            .as_deref()
            .and_then(clean_title),
        kind: signal.r#type,
    })
}

fn optional_id(field: &str, text: Option<&str>) -> Result<Uuid, HandlerError> {
    text.map_or(Ok(Uuid::nil()), |text| id(field, text))
}

fn facets(metadata: &Struct) -> RawFacets<'_> {
    RawFacets {
        feature: text(metadata, FEATURE_KEYS),
        competitor: text(metadata, COMPETITOR_KEYS),
        metric: text(metadata, METRIC_KEYS),
        usage: number(metadata, USAGE_KEYS),
        limit: number(metadata, LIMIT_KEYS),
    }
}

fn text<'a>(metadata: &'a Struct, keys: &[&str]) -> Option<&'a str> {
    keys.iter()
        .find_map(|key| match metadata.fields.get(*key)?.kind.as_ref()? {
            Kind::StringValue(text) => Some(text.as_str()),
            _ => None,
        })
}

fn number(metadata: &Struct, keys: &[&str]) -> Option<f64> {
    keys.iter()
        .find_map(|key| match metadata.fields.get(*key)?.kind.as_ref()? {
            Kind::NumberValue(number) => Some(*number),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use contracts::convert::{timestamp, to_struct};
    use contracts::signals::v1::Actor;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn signal(metadata: &serde_json::Value) -> Signal {
        Signal {
            id: Uuid::from_u128(1).to_string(),
            r#type: "api_call".into(),
            timestamp: Some(timestamp(
                Timestamp::from_nanosecond(1_700_000_000_123_456_789).unwrap(),
            )),
            actor: Some(Actor {
                title: Some(" CTO ".into()),
                ..Actor::default()
            }),
            metadata: metadata.as_object().cloned().map(to_struct),
            ..Signal::default()
        }
    }

    #[test]
    fn metadata_tells_feature_competitor_and_usage() {
        let read = recorded(signal(
            &json!({"feature": "auth", "apiCalls": 12_000, "limit": 15_000}),
        ))
        .unwrap();
        assert_eq!(
            (read.feature.as_str(), read.title.as_deref()),
            ("auth", Some("CTO"))
        );
        assert!((read.usage.unwrap().ratio() - 0.8).abs() < 1e-12);
        assert_eq!(read.at.subsec_nanosecond(), 123_456_000);
        assert!(read.actor.is_nil() && read.account.is_nil());
        let odd = recorded(signal(&json!({"feature": 7, "usage": "many", "limit": null}))).unwrap();
        assert_eq!((odd.feature.as_str(), odd.usage), ("", None));
    }

    #[test]
    fn what_cannot_be_read_is_poison() {
        let broken: [fn(&mut Signal); 4] = [
            |s| s.id = "x".into(),
            |s| s.timestamp = None,
            |s| s.actor_id = Some(String::new()),
            |s| s.account_id = Some("acme".into()),
        ];
        for change in broken {
            let mut signal = signal(&json!({}));
            change(&mut signal);
            assert!(matches!(recorded(signal), Err(HandlerError::Poison(_))));
        }
    }
}
