//! Headers that are set.

use crate::token::Token;

/// A header and its value.
pub type Header = (Token, Token);
