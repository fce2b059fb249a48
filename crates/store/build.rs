//! Tells cargo that new migration files change the crate.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/store");
}
