//! The id of a server-sent event: an opaque place in one organization's events, marked as ours.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use errors::{ApiError, ErrorCode};
use eventbus::Position;
use ids::OrgId;
use jiff::Timestamp;

use crate::secrets::Marker;

/// Where a reader is: in the stream, and within a message that becomes several events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The message that was read last.
    pub position: Position,
    /// How many of its events were passed; [`Place::WHOLE`] for all.
    pub passed: u32,
}

impl Place {
    /// All events of the message were passed.
    pub const WHOLE: u32 = u32::MAX;

    /// After a whole message.
    pub fn after(position: Position) -> Self {
        Self {
            position,
            passed: Self::WHOLE,
        }
    }

    /// The message after which to read on: the one before, when this one has events left.
    pub fn read_after(&self) -> Position {
        match self.passed {
            Self::WHOLE => self.position,
            _ => Position {
                seq: self.position.seq.saturating_sub(1),
                ..self.position
            },
        }
    }

    /// Whether it lies behind `other`, as far as streams can be compared: a stream that was made later is later.
    pub fn is_after(&self, other: &Self) -> bool {
        let key = |place: &Self| (place.position.stream_created, place.position.seq, place.passed);
        key(self) > key(other)
    }

    /// How many events of a message are to be left out because they were passed.
    pub fn skipped(&self, at: Position) -> usize {
        let same = at.seq == self.position.seq && at.stream_created == self.position.stream_created;
        if same && self.passed != Self::WHOLE {
            usize::try_from(self.passed).unwrap_or(0)
        } else {
            0
        }
    }
}

const BODY: usize = 28;
const MARK: usize = 16;

/// Writes and reads cursors.
#[derive(Clone)]
pub struct Cursors(Marker);

impl Cursors {
    /// With the secret of this installation.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Marker::new(secret, "event-cursor"))
    }

    /// A place as text, for this organization only.
    pub fn write(&self, org: OrgId, place: &Place) -> String {
        let mut bytes = [0_u8; BODY + MARK];
        bytes[..8].copy_from_slice(&nanos(place.position.stream_created).to_be_bytes());
        bytes[8..16].copy_from_slice(&place.position.seq.to_be_bytes());
        bytes[16..24].copy_from_slice(&nanos(place.position.time).to_be_bytes());
        bytes[24..BODY].copy_from_slice(&place.passed.to_be_bytes());
        let mark = self.0.mark(&[org.uuid().as_bytes(), &bytes[..BODY]]);
        bytes[BODY..].copy_from_slice(&mark);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place of a text.
    ///
    /// # Errors
    /// `invalid_cursor` when it is not ours, or another organization's.
    pub fn read(&self, org: OrgId, text: &str) -> Result<Place, ApiError> {
        self.parse(org, text).ok_or_else(|| {
            ApiError::new(
                ErrorCode::InvalidCursor,
                "this is not the id of an event of this organization",
            )
        })
    }

    fn parse(&self, org: OrgId, text: &str) -> Option<Place> {
        if text.len() > 2 * (BODY + MARK) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, mark) = bytes.split_at_checked(BODY)?;
        let ours = self.0.mark(&[org.uuid().as_bytes(), body]);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(mark, ours.as_slice())) {
            return None;
        }
        let number = |at: usize| body.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        let time = |at: usize| Timestamp::from_nanosecond(i128::from(number(at)?.cast_signed())).ok();
        Some(Place {
            position: Position {
                stream_created: time(0)?,
                seq: number(8)?,
                time: time(16)?,
            },
            passed: u32::from_be_bytes(body.get(24..BODY)?.try_into().ok()?),
        })
    }
}

fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_cursor_is_read_only_by_its_organization_and_unchanged() {
        let cursors = Cursors::new(&[3; 32]);
        let org = OrgId(Uuid::from_u128(1));
        let at = |n: i64| Timestamp::from_nanosecond(1_700_000_000_000_000_001_i128 + i128::from(n)).unwrap();
        let place = Place {
            position: Position {
                stream_created: at(0),
                seq: 77,
                time: at(5),
            },
            passed: 3,
        };
        let text = cursors.write(org, &place);
        assert_eq!(cursors.read(org, &text).unwrap(), place);
        assert!(cursors.read(OrgId(Uuid::from_u128(2)), &text).is_err());
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(
                cursors.read(org, &String::from_utf8(bytes).unwrap()).is_err(),
                "{at}"
            );
        }
        for bad in ["", "x", "AAAA", &"A".repeat(59), &"A".repeat(5000), "é"] {
            assert_eq!(cursors.read(org, bad).unwrap_err().code, ErrorCode::InvalidCursor);
        }
    }
}
