//! Plans against the way by messages: the same JSON for every message of the contract.

use contracts::crm::v1::{Account, GetAccountResponse};
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, Value};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::Plan;
use crate::contract::Contract;
use crate::transcode::to_json;

/// A message with some of its fields, of any values.
fn any(of: &MessageDescriptor, random: &mut StdRng, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        if random.random_bool(0.3) || (depth > 3 && matches!(field.kind(), Kind::Message(_))) {
            continue;
        }
        let value = if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                continue;
            };
            let entries = (0..random.random_range(0..3)).filter_map(|_| {
                let key = match value(&entry.map_entry_key_field().kind(), random, depth) {
                    Value::String(key) => MapKey::String(key),
                    Value::I32(key) => MapKey::I32(key),
                    Value::I64(key) => MapKey::I64(key),
                    _ => return None,
                };
                Some((key, value(&entry.map_entry_value_field().kind(), random, depth)))
            });
            Value::Map(entries.collect())
        } else if field.is_list() {
            let count = random.random_range(0..3);
            Value::List((0..count).map(|_| value(&field.kind(), random, depth)).collect())
        } else {
            value(&field.kind(), random, depth)
        };
        message.set_field(&field, value);
    }
    message
}

fn value(kind: &Kind, random: &mut StdRng, depth: usize) -> Value {
    match kind {
        Kind::Bool => Value::Bool(random.random()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(random.random()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(random.random()),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(random.random()),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(random.random()),
        Kind::Float => Value::F32(random.random()),
        Kind::Double => Value::F64(random.random_range(-1e9..1e9)),
        Kind::String => Value::String(format!("ä{}", random.random_range(0..1_000))),
        Kind::Bytes => Value::Bytes(vec![random.random(); 3].into()),
        Kind::Enum(_) => Value::EnumNumber(random.random_range(0..9)),
        Kind::Message(of) => Value::Message(any(of, random, depth + 1)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_gives_the_json_of_the_message(seed in any_seed()) {
        let random = &mut StdRng::seed_from_u64(seed);
        for of in Contract::load().unwrap().pool().all_messages().filter(|of| !of.is_map_entry()) {
            let message = any(&of, random, 0);
            let plan = Plan::new(&of);
            let (bytes, wanted) = (message.encode_to_vec(), to_json(&message).to_string());
            prop_assert_eq!(&plan.to_json(&bytes).unwrap().to_string(), &wanted, "{}", of.full_name());
            prop_assert_eq!(&plan.to_text(&bytes).unwrap(), &wanted, "{}", of.full_name());
        }
    }

    #[test]
    fn a_record_is_written_with_its_version(version in prop::num::i64::ANY, name in ".{0,20}") {
        let account = Account { name, version, ..Account::default() };
        let answer = GetAccountResponse { account: Some(account) };
        let of = Contract::load().unwrap().pool().get_message_by_name("devsignal.crm.v1.GetAccountResponse").unwrap();
        let (plan, bytes) = (Plan::new(&of), answer.encode_to_vec());
        let (text, read) = plan.record_to_text(&bytes, 1).unwrap();
        prop_assert_eq!(text, plan.to_json(&bytes).unwrap()["account"].to_string());
        prop_assert_eq!(read, Some(version));
        prop_assert!(plan.record_to_text(&[], 1).is_err());
    }

    #[test]
    fn garbage_is_an_error_or_a_message_never_a_panic(bytes in prop::collection::vec(prop::num::u8::ANY, 0..200)) {
        let contract = Contract::load().unwrap();
        for name in ["devsignal.crm.v1.ListAccountsResponse", "devsignal.signals.v1.Signal"] {
            let of = contract.pool().get_message_by_name(name).unwrap();
            let plan = Plan::new(&of);
            let read = plan.to_json(&bytes);
            prop_assert_eq!(plan.to_text(&bytes), read.clone().map(|json| json.to_string()));
            let known = DynamicMessage::decode(of, bytes.as_slice());
            prop_assert!(read.is_ok() || known.is_err(), "{name}");
        }
    }
}

fn any_seed() -> impl Strategy<Value = u64> {
    prop::num::u64::ANY
}
