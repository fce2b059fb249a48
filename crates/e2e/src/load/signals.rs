//! The signals of load and benchmark: about 340 bytes each, from people of a fixed number of companies.

use std::fmt::Write;

/// Makes signals that differ in key and person and are alike in everything that costs time.
#[derive(Debug, Clone)]
pub struct Signals {
    run: String,
    accounts: u64,
    people_per_account: u64,
}

impl Signals {
    /// Signals of `accounts` companies with `people_per_account` people each. `run` keeps the idempotency keys of two
    /// runs apart.
    #[must_use]
    pub fn new(run: &str, accounts: u64, people_per_account: u64) -> Self {
        Self {
            run: run.to_owned(),
            accounts,
            people_per_account,
        }
    }

    /// Appends signal number `n` as JSON.
    pub fn append(&self, n: u64, out: &mut String) {
        // A multiplicative hash spreads consecutive numbers over companies and people.
        let spread = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let account = spread % self.accounts;
        let person = (spread / self.accounts) % self.people_per_account;
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            concat!(
                r#"{{"type":"api_call","idempotencyKey":"{run}-{n}","#,
                r#""actor":{{"email":"dev{person}@company{account}.example","github":"dev{person}-{account}"}},"#,
                r#""metadata":{{"endpoint":"/v1/projects/{account}/query","status":200,"durationMs":{ms},"#,
                r#""region":"eu-central-1","sdk":"rust/2.4.1","requestId":"req_{n:016x}"}}}}"#
            ),
            run = self.run,
            n = n,
            person = person,
            account = account,
            ms = spread % 400,
        );
    }

    /// A batch of `size` signals beginning with number `first`, as a request body.
    #[must_use]
    pub fn batch(&self, first: u64, size: u64) -> String {
        let mut body = String::with_capacity(usize::try_from(size).unwrap_or(0) * 360 + 16);
        body.push_str(r#"{"signals":["#);
        for n in first..first + size {
            if n > first {
                body.push(',');
            }
            self.append(n, &mut body);
        }
        body.push_str("]}");
        body
    }
}
