//! Reads PEM (RFC 7468) as people have it: copied, glued, indented, wrapped by other programs.
//!
//! What can be told apart without doubt is: base64 has no dash, no backslash and no space, so that two dashes or more are always
//! of a line that begins or ends a block, wherever it stands and whatever else is wrong with it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// As tolerant as OpenSSL.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Fewer characters of base64 than these, outside of any block, are words.
const MIN_BASE64_CHARS: usize = 64;
/// How base64 of what may be here begins: with a sequence of at least 128 bytes.
const FIRST_BASE64_CHARS: &str = "MI";

/// A block. Not to be shown: it may be a key.
pub struct PemBlock {
    /// What it is said to be, in capitals, such as `CERTIFICATE`; empty if nothing says it.
    pub label: String,
    /// Whether it is said to be encrypted.
    pub encrypted: bool,
    /// Its content; none if it is not base64.
    pub der: Option<Vec<u8>>,
}

/// A line that begins or ends a block, without its dashes.
enum BlockMark<'a> {
    Begin(&'a str),
    End(&'a str),
}

/// All blocks of a text. What stands between them is passed over, unless it is long and base64: that is a block whose lines
/// before and after were lost.
pub fn read_blocks(text: &[u8]) -> Vec<PemBlock> {
    let text = unwrap_text(&decode_text(text));
    let parts: Vec<&str> = text.split("--").map(|part| part.trim_matches('-')).collect();
    let mut blocks = Vec::new();
    let mut begun = None;
    for (n, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
        match parse_mark(part) {
            Some(BlockMark::Begin(label)) => begun = Some(label),
            Some(BlockMark::End(_)) => begun = None,
            None => {
                let next = parts[n + 1..].iter().find(|part| !part.is_empty());
                let ended = next.and_then(|part| parse_mark(part)).and_then(|mark| match mark {
                    BlockMark::End(label) => Some(label),
                    BlockMark::Begin(_) => None,
                });
                blocks.extend(parse_block(begun.take(), ended, part));
            }
        }
    }
    blocks
}

/// A text that may have come from another system: in UTF-16, with marks of its byte order.
fn decode_text(text: &[u8]) -> Cow<'_, str> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<_> = rest.chunks_exact(2).map(|two| unit([two[0], two[1]])).collect();
        Cow::Owned(String::from_utf16_lossy(&units))
    };
    match text {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        text => String::from_utf8_lossy(text),
    }
}

/// Without what has no meaning here: marks of byte order, ends of lines that were written as two characters, and dashes that a
/// word processor made longer.
fn unwrap_text(text: &str) -> String {
    text.replace('\u{feff}', "").replace("\\r", "").replace("\\n", "\n").replace(['\u{2013}', '\u{2014}'], "--")
}

fn parse_mark(part: &str) -> Option<BlockMark<'_>> {
    let part = part.trim();
    let (word, label) = part.split_once(' ')?;
    if label.contains(['\n', '\r']) {
        return None;
    }
    match word {
        "BEGIN" => Some(BlockMark::Begin(label.trim())),
        "END" => Some(BlockMark::End(label.trim())),
        _ => None,
    }
}

/// What stands between two marks; none if it is words.
fn parse_block(begun: Option<&str>, ended: Option<&str>, part: &str) -> Option<PemBlock> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/".contains(c);
    // Headers (RFC 1421), or whatever stands before a block that lost its first line.
    let lines: Vec<_> = part.lines().map(str::trim).collect();
    let is_word = |line: &&str| !line.split_whitespace().all(|part| part.trim_end_matches('=').chars().all(is_base64));
    let first = lines.iter().rposition(is_word).map_or(0, |n| n + 1);
    let body: String = lines[first..].iter().flat_map(|line| line.chars()).filter(|c| !c.is_whitespace()).collect();
    let is_data = body.len() >= MIN_BASE64_CHARS && (ended.is_some() || body.starts_with(FIRST_BASE64_CHARS));
    if begun.is_none() && !is_data {
        return None;
    }
    let label =
        [ended, begun].into_iter().flatten().find(|label| is_known(label)).or(begun).or(ended).unwrap_or_default();
    let headers = lines[..first].concat();
    let damaged = begun.is_some() && lines[..first].iter().any(|line| !line.is_empty() && !line.contains(':'));
    let encrypted = label.contains("ENCRYPTED") || headers.contains("ENCRYPTED");
    Some(PemBlock { label: label.to_owned(), encrypted, der: (!damaged).then(|| decode_base64(&body)).flatten() })
}

/// Whether a label is one that is written right.
fn is_known(label: &str) -> bool {
    ["CERTIFICATE", "PRIVATE KEY", "PUBLIC KEY", "PARAMETERS", "REQUEST", "CRL", "PKCS7"]
        .iter()
        .any(|end| label.ends_with(end))
}

/// The bytes of base64. Where padding is followed by more, two blocks have become one.
fn decode_base64(body: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in body.split_inclusive('=').filter(|part| *part != "=") {
        bytes.extend(BASE64.decode(part.trim_end_matches('=')).ok()?);
    }
    (!bytes.is_empty()).then_some(bytes)
}
