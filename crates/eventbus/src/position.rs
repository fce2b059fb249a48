//! A place in a stream that survives reconnects, broker restarts and a stream that was made anew.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

/// Where a reader is. As text (`Display`, `FromStr`) it is the id of a server-sent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When the stream was created: sequences of another stream of the same name mean nothing here.
    pub stream_created: Timestamp,
    /// Sequence of the last message that was read; 0 before the first.
    pub seq: u64,
    /// When the broker took that message over. Finds the place again in a stream that was made anew.
    pub time: Timestamp,
}

/// The text is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position of the event stream")]
pub struct ParsePositionError;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{}",
            self.stream_created.as_nanosecond(),
            self.seq,
            self.time.as_nanosecond()
        )
    }
}

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let mut parts = text.split('-');
        let mut digits = || {
            let part = parts
                .next()
                .filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
            part.ok_or(ParsePositionError)
        };
        let (created, seq, time) = (digits()?, digits()?, digits()?);
        if parts.next().is_some() {
            return Err(ParsePositionError);
        }
        Ok(Self {
            stream_created: instant(created)?,
            seq: seq.parse().map_err(|_| ParsePositionError)?,
            time: instant(time)?,
        })
    }
}

fn instant(nanos: &str) -> Result<Timestamp, ParsePositionError> {
    let nanos: i128 = nanos.parse().map_err(|_| ParsePositionError)?;
    Timestamp::from_nanosecond(nanos).map_err(|_| ParsePositionError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_position_survives_its_text(created in 0_i128..4_000_000_000_000_000_000, seq: u64, time in 0_i128..4_000_000_000_000_000_000) {
            let position = Position {
                stream_created: Timestamp::from_nanosecond(created).unwrap(),
                seq,
                time: Timestamp::from_nanosecond(time).unwrap(),
            };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn other_text_is_refused_and_never_panics(text in ".*") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string().parse(), Ok(position));
            }
        }
    }

    #[test]
    fn near_misses_are_refused() {
        for bad in [
            "",
            "1-2",
            "1-2-3-4",
            "-1-2-3",
            "1--3",
            "1-2-+3",
            "1-99999999999999999999-3",
            " 1-2-3",
        ] {
            assert_eq!(bad.parse::<Position>(), Err(ParsePositionError), "{bad:?}");
        }
    }
}
