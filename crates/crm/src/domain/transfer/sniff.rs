//! What a file is written in: its encoding, and what stands between its cells.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Bytes of a file that are looked at for its separator.
const HEAD: usize = 64 << 10;
/// Rows that are looked at for its separator.
const ROWS: usize = 50;
/// What can stand between cells.
pub const SEPARATORS: [u8; 4] = *b",;\t|";

/// Sees a whole file go by and tells its encoding.
pub struct Sniffer {
    head: Vec<u8>,
    detector: EncodingDetector,
    is_ascii: bool,
}

impl Default for Sniffer {
    fn default() -> Self {
        Self {
            head: Vec::new(),
            detector: EncodingDetector::new(Iso2022JpDetection::Deny),
            is_ascii: true,
        }
    }
}

impl Sniffer {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.is_ascii &= bytes.is_ascii();
        self.detector.feed(bytes, false);
    }

    /// The encoding: a byte order mark decides, then NULs where UTF-16 has them, then whether all of it is UTF-8, then what the
    /// letters look like.
    #[must_use]
    pub fn encoding(&mut self) -> &'static Encoding {
        if let Some((encoding, _)) = Encoding::for_bom(&self.head) {
            return encoding;
        }
        if let Some(encoding) = wide(&self.head) {
            return encoding;
        }
        if self.is_ascii {
            return UTF_8;
        }
        self.detector.feed(&[], true);
        self.detector.guess(None, Utf8Detection::Allow)
    }

    /// The separator.
    #[must_use]
    pub fn separator(&self, encoding: &'static Encoding) -> u8 {
        let (text, _, _) = encoding.decode(&self.head);
        separator(&text)
    }
}

/// UTF-16 without a mark: every other byte of Latin text is NUL.
fn wide(head: &[u8]) -> Option<&'static Encoding> {
    let pairs = head.chunks_exact(2).take(512);
    let (mut all, mut first, mut second) = (0, 0, 0);
    for pair in pairs {
        all += 1;
        first += usize::from(pair[0] == 0);
        second += usize::from(pair[1] == 0);
    }
    match all {
        0..4 => None,
        _ if second * 3 > all * 2 && first == 0 => Some(UTF_16LE),
        _ if first * 3 > all * 2 && second == 0 => Some(UTF_16BE),
        _ => None,
    }
}

/// The one by which the most rows have as many cells as the first row, and of these the one with the most cells.
#[must_use]
pub fn separator(text: &str) -> u8 {
    let whole = text.len() < HEAD / 2;
    let judge = |separator: u8| {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut widths: Vec<usize> = reader
            .records()
            .take(ROWS)
            .map_while(Result::ok)
            .map(|record| record.len())
            .collect();
        if !whole && widths.len() > 1 {
            // The last one may be cut.
            widths.pop();
        }
        let first = widths.first().copied().unwrap_or(0);
        let alike = widths.iter().filter(|width| **width == first).count();
        let share = alike * 100 / widths.len().max(1);
        (first > 1, share >= 80, first, share)
    };
    let mut best = (b',', judge(b','));
    for separator in SEPARATORS.into_iter().skip(1) {
        let judged = judge(separator);
        if judged > best.1 {
            best = (separator, judged);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniffed(bytes: &[u8]) -> (&'static str, char) {
        let mut sniffer = Sniffer::default();
        for part in bytes.chunks(7) {
            sniffer.feed(part);
        }
        let encoding = sniffer.encoding();
        (encoding.name(), char::from(sniffer.separator(encoding)))
    }

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        let unit = |unit: u16| {
            if little {
                unit.to_le_bytes()
            } else {
                unit.to_be_bytes()
            }
        };
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn encodings_are_told_apart() {
        let text = "email;name\njürgen@x.dev;Jürgen Müller\nrené@x.dev;René\n";
        assert_eq!(sniffed(text.as_bytes()), ("UTF-8", ';'));
        assert_eq!(sniffed(format!("\u{feff}{text}").as_bytes()), ("UTF-8", ';'));
        assert_eq!(sniffed(b"a,b\n1,2\n"), ("UTF-8", ','));
        let (latin, _, _) = encoding_rs::WINDOWS_1252.encode(text);
        assert_eq!(sniffed(&latin), ("windows-1252", ';'));
        assert_eq!(sniffed(&utf16(text, true)), ("UTF-16LE", ';'));
        assert_eq!(
            sniffed(&utf16(&format!("\u{feff}{text}"), false)),
            ("UTF-16BE", ';')
        );
    }

    #[test]
    fn separators_are_found_among_the_others() {
        let of = |text: &str| char::from(separator(text));
        assert_eq!(of("a,b,c\n\"x;y;z\",2,3\n"), ',');
        assert_eq!(of("a;b\n1,5;2\n2,5;3\n"), ';');
        assert_eq!(of("a\tb\tc\n1,2\t3\t4\n"), '\t');
        assert_eq!(of("a|b\n1|2\n"), '|');
        assert_eq!(of("email\nx@y.dev\n"), ',');
        assert_eq!(of(""), ',');
    }
}
