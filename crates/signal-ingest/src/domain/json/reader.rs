//! The tokens of one document, with the rules of strictness that no tokenizer has by itself.

use errors::{ApiError, ErrorCode};
use jiter::{Jiter, JiterError, JiterErrorType, Peek};

/// The document has no meaning; the whole request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    at: usize,
    why: String,
}

/// Deepest nesting of one item.
pub(super) const MAX_DEPTH: usize = contracts::convert::MAX_DEPTH;

/// A cursor over the tokens of a document.
pub(super) struct Reader<'j> {
    tokens: Jiter<'j>,
    document: &'j [u8],
}

/// What begins next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Null,
    Bool(Peek),
    String,
    Number(Peek),
    Array,
    Object,
}

impl Next {
    /// The type's name for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::String => "a string",
            Self::Number(_) => "a number",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

impl<'j> Reader<'j> {
    pub(super) fn new(document: &'j [u8]) -> Self {
        Self {
            tokens: Jiter::new(document),
            document,
        }
    }

    /// Byte position of the next token.
    pub(super) fn at(&self) -> usize {
        self.tokens.current_index()
    }

    /// Looks at what begins next.
    pub(super) fn peek(&mut self) -> Result<Next, Malformed> {
        let peek = self.tokens.peek().map_err(malformed)?;
        self.classify(peek)
    }

    fn classify(&self, peek: Peek) -> Result<Next, Malformed> {
        Ok(match peek {
            Peek::Null => Next::Null,
            Peek::True | Peek::False => Next::Bool(peek),
            Peek::String => Next::String,
            Peek::Array => Next::Array,
            Peek::Object => Next::Object,
            Peek::Minus => Next::Number(peek),
            peek if peek.into_inner().is_ascii_digit() => Next::Number(peek),
            _ => return Err(self.malformed("a JSON value was expected")),
        })
    }

    pub(super) fn null(&mut self) -> Result<(), Malformed> {
        self.tokens.known_null().map_err(malformed)
    }

    pub(super) fn bool(&mut self, peek: Peek) -> Result<bool, Malformed> {
        self.tokens.known_bool(peek).map_err(malformed)
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        self.tokens.known_str().map(str::to_owned).map_err(malformed)
    }

    /// The number's own characters.
    pub(super) fn number(&mut self, peek: Peek) -> Result<&'j str, Malformed> {
        let start = self.at();
        self.tokens.known_number_bytes(peek).map_err(malformed)?;
        let digits = &self.document[start..self.at()];
        std::str::from_utf8(digits).map_err(|_| self.malformed("a number was expected"))
    }

    /// Enters an array: its first element, if any.
    pub(super) fn array(&mut self) -> Result<Option<Next>, Malformed> {
        match self.tokens.known_array().map_err(malformed)? {
            Some(peek) => self.classify(peek).map(Some),
            None => Ok(None),
        }
    }

    /// The array's next element, if any.
    pub(super) fn array_step(&mut self) -> Result<Option<Next>, Malformed> {
        match self.tokens.array_step().map_err(malformed)? {
            Some(peek) => self.classify(peek).map(Some),
            None => Ok(None),
        }
    }

    /// Enters an object (`first`) or goes on in it: what `read` makes of the next key.
    pub(super) fn key<T>(
        &mut self,
        first: bool,
        read: impl FnOnce(&str) -> T,
    ) -> Result<Option<T>, Malformed> {
        let key = if first {
            self.tokens.known_object()
        } else {
            self.tokens.next_key()
        };
        Ok(key.map_err(malformed)?.map(read))
    }

    /// Nothing but white space may follow.
    pub(super) fn finish(&mut self) -> Result<(), Malformed> {
        self.tokens.finish().map_err(malformed)
    }

    /// A fault of the document at the current position.
    pub(super) fn malformed(&self, why: impl Into<String>) -> Malformed {
        Malformed {
            at: self.at(),
            why: why.into(),
        }
    }

    /// The refusal of the whole request.
    pub(super) fn refusal(&self, fault: &Malformed) -> ApiError {
        let Malformed { at, why } = fault;
        let place = self.tokens.error_position((*at).min(self.document.len()));
        let detail = format!(
            "the body is not valid JSON: {why} at line {}, column {}",
            place.line, place.column
        );
        ApiError::new(ErrorCode::MalformedJson, detail)
    }
}

fn malformed(error: JiterError) -> Malformed {
    let why = match error.error_type {
        JiterErrorType::JsonError(kind) => kind.to_string(),
        JiterErrorType::WrongType { .. } => "a JSON value was expected".to_owned(),
    };
    Malformed { at: error.index, why }
}
