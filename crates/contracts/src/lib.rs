//! The contracts of DevSignal, generated from `proto/`: messages, gRPC stubs, descriptors; and what every event on the
//! bus looks like from outside: type, subject, headers, encoding.
//!
//! Owns: the wire. Must not: do I/O, or hold any rule of a service.

pub mod codec;
pub mod convert;
mod envelope;
mod event;
mod rules;

pub use envelope::{Encoding, Envelope, EnvelopeError, header};
pub use event::{Event, StreamKind, Subject, SubjectError, TOLD, Told, filter_all_orgs, type_of};

/// The encoded `FileDescriptorSet` of everything in `proto/`, with comments and the extensions of options.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The paths of all methods whose callers send a stream: `/package.Service/Method`.
pub const CLIENT_STREAMING_METHODS: &[&str] = &include!(concat!(env!("OUT_DIR"), "/streaming.rs"));

/// Access: who calls, and who may call what.
pub mod access {
    pub use crate::rules::{Permission, RULES, Rule, rule_of};
    /// Organizations, people, keys, audit.
    #[allow(
        missing_docs,
        clippy::all,
        clippy::too_many_lines,
        reason = "generated from proto/, where the comments are"
    )]
    pub mod v1 {
        tonic::include_proto!("devsignal.access.v1");
    }
}

macro_rules! packages {
    ($($domain:ident => $package:literal, $doc:literal;)*) => {$(
        #[doc = $doc]
        pub mod $domain {
            #[doc = $doc]
            #[allow(missing_docs, clippy::all, clippy::too_many_lines, reason = "generated from proto/, where the comments are")]
            pub mod v1 {
                tonic::include_proto!($package);
            }
        }
    )*};
}

packages! {
    signals => "devsignal.signals.v1", "Signals: what developers did.";
    identity => "devsignal.identity.v1", "Identities of persons.";
    crm => "devsignal.crm.v1", "Accounts, contacts, deals, and what is done about them.";
    scores => "devsignal.scores.v1", "Scores with evidence.";
    events => "devsignal.events.v1", "Public events.";
    webhooks => "devsignal.webhooks.v1", "Webhooks: endpoints of customers, and what is delivered to them.";
    ops => "devsignal.ops.v1", "Operations between our own services.";
}
