//! The URL's text before any parser reads it.
//!
//! Owns what is refused because two readers could read it differently. It must not interpret what
//! it accepts: that is the `url` crate's.

use crate::target::{MAX_URL_BYTES, TargetError};

/// The text of the authority (`host:port`, perhaps with credentials).
pub(crate) fn authority(text: &str) -> Result<&str, TargetError> {
    if text.len() > MAX_URL_BYTES {
        return Err(TargetError::TooLong);
    }
    // The WHATWG parser removes tabs and line ends, and takes `\` for `/`; others do not.
    if text
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || c == '\\' || is_invisible(c))
    {
        return Err(TargetError::Malformed);
    }
    let (scheme, rest) = text.split_once(':').ok_or(TargetError::Malformed)?;
    let known = ["https", "http"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    if !known {
        return Err(TargetError::Scheme);
    }
    let rest = rest.strip_prefix("//").ok_or(TargetError::Malformed)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    if authority.is_empty() {
        return Err(TargetError::Malformed);
    }
    if authority.contains('@') {
        return Err(TargetError::Credentials);
    }
    // Percent-encoding in a host is decoded by some and not by others, and nobody needs it. The same with the
    // full stops of other scripts.
    if authority.contains(['%', '\u{3002}', '\u{ff0e}', '\u{ff61}']) {
        return Err(TargetError::Host);
    }
    Ok(authority)
}

/// The authority's host, without a port.
pub(crate) fn host(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.find(']').map_or(authority, |end| &authority[..=end]);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// Takes no place on a screen, so that one name looks like another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}
