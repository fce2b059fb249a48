//! zstd with contexts that are used again: making one costs more than packing a small message.
//!
//! Owns: level and limits of compression. Must not: know what is packed.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};

/// Speed matters more than the last few percent of size.
const LEVEL: i32 = 1;

/// Longest message after decompression: anything longer was not made by us.
pub const MAX_DECODED_BYTES: usize = 16 << 20;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses `plain`.
///
/// # Errors
/// The compressor cannot be set up.
pub fn compress(plain: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(compressor) => compressor.compress(plain),
        None => kept.insert(Compressor::new(LEVEL)?).compress(plain),
    })
}

/// Decompresses `packed`.
///
/// # Errors
/// Not zstd, or more than [`MAX_DECODED_BYTES`].
pub fn decompress(packed: &[u8]) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(decompressor) => decompressor.decompress(packed, MAX_DECODED_BYTES),
        None => kept
            .insert(Decompressor::new()?)
            .decompress(packed, MAX_DECODED_BYTES),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_back_also_after_something_unreadable() {
        for plain in [&b""[..], b"a", &[7; 100_000]] {
            let packed = compress(plain).unwrap();
            assert!(decompress(b"garbage").is_err());
            assert_eq!(decompress(&packed).unwrap(), plain);
        }
    }

    #[test]
    fn what_grows_beyond_the_limit_is_refused() {
        let packed = compress(&vec![0; MAX_DECODED_BYTES + 1]).unwrap();
        assert!(decompress(&packed).is_err());
    }
}
