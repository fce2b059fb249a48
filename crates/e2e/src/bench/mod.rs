//! The benchmark behind `./dev bench`: the real system under load, each figure as a ratio to a ceiling measured in the same
//! run on the same Postgres.

pub mod bare;
pub mod ceiling;
pub mod latency;
pub mod lists;
pub mod report;
pub mod streams;
pub mod throughput;

/// To standard output.
#[expect(clippy::print_stdout, reason = "a benchmark prints its results")]
pub fn say(text: &str) {
    println!("{text}");
}
