//! crm on a real Postgres, a real nats-server, and a signal-ingest that speaks real gRPC.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod accounts;
mod as_of;
mod batch;
mod bulk_views;
mod by_hand;
mod calls;
mod contacts;
mod deals;
mod events;
mod harness;
mod imports;
mod imports_desk;
mod list_requests;
mod lists;
mod objects;
mod objects_races;
mod objects_schemas;
mod orders;
mod own_fields;
mod pipeline;
mod plans;
mod plans_work;
mod search;
mod search_plans;
mod signals_fake;
mod speed;
mod state;
mod tenancy;
mod timeline;
mod transfer;
mod work;
