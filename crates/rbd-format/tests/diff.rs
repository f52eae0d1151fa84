//! The `rbd diff` stream: against what `rbd` wrote, and against itself.

mod common;

use common::{all_fixtures, data};
use proptest::prelude::*;
use rbd_format::diff::{DiffError, DiffEvent, DiffParser, DiffRecord, DiffVersion, MAX_NAME_BYTES};
use rbd_format::{ImageSize, Name};

/// An event without borrowed data; consecutive pieces of data are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Data(u64, Vec<u8>),
    Other(DiffEvent<'static>),
}

/// Everything up to the diff's end, given `chunk` bytes at a time, and what is left of the input.
fn parse(mut input: &[u8], chunk: usize) -> Result<(Vec<Owned>, &[u8]), DiffError> {
    let mut parser = DiffParser::new();
    let mut events: Vec<Owned> = Vec::new();
    loop {
        let (mut piece, rest) = input.split_at(chunk.min(input.len()));
        while let Some(event) = parser.next(&mut piece)? {
            let event = match event {
                DiffEvent::Data { offset_bytes, bytes } => {
                    assert!(!bytes.is_empty());
                    if let Some(Owned::Data(offset, data)) = events.last_mut()
                        && *offset + data.len() as u64 == offset_bytes
                    {
                        data.extend(bytes);
                        continue;
                    }
                    Owned::Data(offset_bytes, bytes.to_vec())
                }
                DiffEvent::Begin(version) => Owned::Other(DiffEvent::Begin(version)),
                DiffEvent::FromSnapshot(name) => Owned::Other(DiffEvent::FromSnapshot(name)),
                DiffEvent::ToSnapshot(name) => Owned::Other(DiffEvent::ToSnapshot(name)),
                DiffEvent::Protection(protected) => Owned::Other(DiffEvent::Protection(protected)),
                DiffEvent::Size(size) => Owned::Other(DiffEvent::Size(size)),
                DiffEvent::Zero { offset_bytes, length_bytes } => {
                    Owned::Other(DiffEvent::Zero { offset_bytes, length_bytes })
                }
                DiffEvent::Skipped { tag, length_bytes } => Owned::Other(DiffEvent::Skipped { tag, length_bytes }),
                DiffEvent::End => Owned::Other(DiffEvent::End),
            };
            events.push(event);
        }
        let left = &input[input.len() - rest.len() - piece.len()..];
        if rest.is_empty() || !piece.is_empty() {
            parser.finish()?;
            return Ok((events, left));
        }
        input = rest;
    }
}

fn parse_whole(input: &[u8]) -> Result<Vec<Owned>, DiffError> {
    let (events, left) = parse(input, usize::MAX)?;
    assert!(left.is_empty(), "left behind the end: {left:?}");
    Ok(events)
}

/// The same diff, written by this crate.
fn encode(events: &[Owned]) -> Vec<u8> {
    let mut version = DiffVersion::V1;
    let mut out = Vec::new();
    for event in events {
        let record = match event {
            Owned::Data(offset_bytes, data) => {
                DiffRecord::Data { offset_bytes: *offset_bytes, length_bytes: data.len() as u64 }
            }
            Owned::Other(DiffEvent::Begin(begun)) => {
                version = *begun;
                out.extend(version.banner());
                continue;
            }
            Owned::Other(DiffEvent::FromSnapshot(name)) => DiffRecord::FromSnapshot(name.as_bytes()),
            Owned::Other(DiffEvent::ToSnapshot(name)) => DiffRecord::ToSnapshot(name.as_bytes()),
            Owned::Other(DiffEvent::Protection(protected)) => DiffRecord::Protection(*protected),
            Owned::Other(DiffEvent::Size(size)) => DiffRecord::Size(size.bytes()),
            Owned::Other(DiffEvent::Zero { offset_bytes, length_bytes }) => {
                DiffRecord::Zero { offset_bytes: *offset_bytes, length_bytes: *length_bytes }
            }
            Owned::Other(DiffEvent::End) => DiffRecord::End,
            Owned::Other(other) => panic!("never written: {other:?}"),
        };
        record.encode(version, &mut out).expect("a valid record");
        if let Owned::Data(_, data) = event {
            out.extend(data);
        }
    }
    out
}

fn size(bytes: u64) -> ImageSize {
    ImageSize::new(bytes).expect("a size within the bound")
}

fn other(event: DiffEvent<'static>) -> Owned {
    Owned::Other(event)
}

#[test]
fn diff_of_rbd_is_read_and_rewritten() {
    let written = b"g".repeat(4096);
    let full = [
        other(DiffEvent::Begin(DiffVersion::V1)),
        other(DiffEvent::ToSnapshot(Name::from("s1"))),
        other(DiffEvent::Size(size(32 << 10))),
        Owned::Data(0, [written.clone(), written].concat()),
        other(DiffEvent::End),
    ];
    assert_eq!(parse_whole(&data("full-to-s1.diff")).unwrap(), full);
    let incremental = [
        other(DiffEvent::Begin(DiffVersion::V1)),
        other(DiffEvent::FromSnapshot(Name::from("s1"))),
        other(DiffEvent::ToSnapshot(Name::from("s2"))),
        other(DiffEvent::Size(size(24 << 10))),
        Owned::Data(0, b"g".repeat(512)),
        other(DiffEvent::Zero { offset_bytes: 4096, length_bytes: 4096 }),
        other(DiffEvent::End),
    ];
    assert_eq!(parse_whole(&data("s1-to-s2.diff")).unwrap(), incremental);
    for fixture in ["s1-to-s2.diff", "s2-to-head.diff"] {
        let stream = data(fixture);
        assert_eq!(encode(&parse_whole(&stream).unwrap()), stream, "{fixture}");
    }
}

#[test]
fn each_diff_of_an_export_of_format_2_is_read() {
    let export = data("image-v2.export");
    // The image's description, then this and the number of diffs.
    let banner = b"rbd image diffs v2\n";
    let at = export.windows(banner.len()).position(|window| window == banner).unwrap() + banner.len();
    let (count, mut input) = export[at..].split_first_chunk::<8>().unwrap();
    assert_eq!(u64::from_le_bytes(*count), 3);
    let mut diffs = Vec::new();
    for _ in 0..3 {
        let (events, left) = parse(input, usize::MAX).unwrap();
        diffs.push(events);
        input = left;
    }
    assert!(input.is_empty());
    assert_eq!(diffs[0][0], other(DiffEvent::Begin(DiffVersion::V2)));
    assert_eq!(diffs[0][2], other(DiffEvent::Protection(false)));
    // Its record says that it is 8 bytes long, and is one.
    assert_eq!(diffs[1][3], other(DiffEvent::Protection(true)));
    assert_eq!(diffs[1][4..], parse_whole(&data("s1-to-s2.diff")).unwrap()[3..]);
    assert_eq!(diffs[2][1], other(DiffEvent::FromSnapshot(Name::from("s2"))));
}

#[test]
fn every_truncation_is_reported() {
    for fixture in all_fixtures(".diff") {
        let stream = data(&fixture);
        for len in 0..stream.len() {
            assert_eq!(parse(&stream[..len], usize::MAX), Err(DiffError::Truncated), "{fixture} at {len}");
        }
    }
}

/// A stream of version 1 with these records, each a piece of bytes.
fn v1(records: &[&[u8]]) -> Vec<u8> {
    [b"rbd diff v1\n".as_slice(), &records.concat()].concat()
}

fn v2(records: &[&[u8]]) -> Vec<u8> {
    [b"rbd diff v2\n".as_slice(), &records.concat()].concat()
}

#[test]
fn impossible_record_is_rejected() {
    let size: &[u8] = b"s\x00\x10\0\0\0\0\0\0";
    let zero_at_4096: &[u8] = b"z\x00\x10\0\0\0\0\0\0\x01\0\0\0\0\0\0\0";
    let past_the_end: &[u8] = b"w\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0\0\0\0\0";
    let invalid = |record, reason| DiffError::Invalid { record, reason };
    let cases = [
        (b"rbd image v2".to_vec(), DiffError::NotADiff),
        (v1(&[b"?"]), DiffError::UnknownTag(b'?')),
        (v1(&[size, size]), invalid("size", "comes twice")),
        (v1(&[size, zero_at_4096]), invalid("zero", "lies outside the image's size")),
        (v1(&[zero_at_4096, size]), invalid("size", "comes after data")),
        (v1(&[past_the_end]), invalid("data", "its range goes past 2^64 - 1")),
        (v1(&[b"f\x01\x10\0\0"]), invalid("from snapshot", "its name is longer than 4096 bytes")),
        (v1(&[b"t\xff\xff\xff\xff"]), invalid("to snapshot", "its name is longer than 4096 bytes")),
        (v2(&[b"s\x09\0\0\0\0\0\0\0"]), invalid("size", "its two lengths contradict each other")),
        (v2(&[b"f\x06\0\0\0\0\0\0\0\x01\0\0\0"]), invalid("from snapshot", "its two lengths contradict each other")),
        (
            v2(&[b"w\x10\0\0\0\0\0\0\0", &[0; 8], b"\x01\0\0\0\0\0\0\0"]),
            invalid("data", "its two lengths contradict each other"),
        ),
        (v2(&[b"w\x0f\0\0\0\0\0\0\0", &[0; 8], &[0xff; 8]]), invalid("data", "lies outside the image's size")),
    ];
    for (stream, error) in cases {
        assert_eq!(parse(&stream, usize::MAX), Err(error), "{:?}", stream.escape_ascii().to_string());
    }
}

#[test]
fn sizes_end_at_the_largest_image() {
    let read = |bytes: u64| parse_whole(&v1(&[b"s", &bytes.to_le_bytes(), b"e"]));
    let max = ImageSize::MAX.bytes();
    for bytes in [0, 1, max] {
        assert_eq!(read(bytes).unwrap()[1], other(DiffEvent::Size(size(bytes))));
    }
    for bytes in [max + 1, 1 << 63, u64::MAX] {
        let rejected = read(bytes);
        assert!(matches!(rejected, Err(DiffError::Invalid { record: "size", .. })), "{bytes}: {rejected:?}");
    }
    // Nor does data lie beyond, when no size says where it ends.
    let beyond = parse_whole(&v1(&[b"z", &(max - 1).to_le_bytes(), &2_u64.to_le_bytes()]));
    assert!(matches!(beyond, Err(DiffError::Invalid { record: "zero", .. })));
}

#[test]
fn version_2_skips_unknown_records() {
    let stream = v2(&[b"?\x03\0\0\0\0\0\0\0abc", b"!\0\0\0\0\0\0\0\0", b"e"]);
    for chunk in [1, 2, 5, usize::MAX] {
        let (events, _) = parse(&stream, chunk).unwrap();
        assert_eq!(events[1], other(DiffEvent::Skipped { tag: b'?', length_bytes: 3 }));
        assert_eq!(events[2], other(DiffEvent::Skipped { tag: b'!', length_bytes: 0 }));
        assert_eq!(events[3], other(DiffEvent::End));
    }
}

#[test]
fn writer_rejects_what_the_reader_rejects() {
    let mut out = Vec::new();
    for version in [DiffVersion::V1, DiffVersion::V2] {
        let long = vec![b'x'; MAX_NAME_BYTES + 1];
        assert!(DiffRecord::FromSnapshot(&long).encode(version, &mut out).is_err());
        assert!(DiffRecord::ToSnapshot(&long).encode(version, &mut out).is_err());
        assert!(DiffRecord::Zero { offset_bytes: u64::MAX, length_bytes: 1 }.encode(version, &mut out).is_err());
        assert!(DiffRecord::Data { offset_bytes: 1, length_bytes: u64::MAX }.encode(version, &mut out).is_err());
        // Its range fits, the length of its record does not.
        assert!(DiffRecord::Data { offset_bytes: 0, length_bytes: u64::MAX }.encode(version, &mut out).is_err());
        assert_eq!(out, b"");
        assert!(DiffRecord::ToSnapshot(&long[1..]).encode(version, &mut out).is_ok());
        out.clear();
    }
}

prop_compose! {
    /// A well-formed diff with ranges that do not touch, so that data of two records is not joined.
    fn diff()(
        version in prop_oneof![Just(DiffVersion::V1), Just(DiffVersion::V2)],
        from in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        to in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        protection in proptest::option::of(any::<bool>()),
        ranges in proptest::collection::vec((1u64..1000, proptest::option::of(proptest::collection::vec(any::<u8>(), 1..50)), any::<u32>()), 0..8),
    ) -> Vec<Owned> {
        let mut end_bytes = 0;
        let mut data = Vec::new();
        for (gap_bytes, bytes, zero_bytes) in ranges {
            let offset_bytes = end_bytes + gap_bytes;
            let length_bytes = bytes.as_ref().map_or(u64::from(zero_bytes), |bytes| bytes.len() as u64);
            end_bytes = offset_bytes + length_bytes;
            data.push(match bytes {
                Some(bytes) => Owned::Data(offset_bytes, bytes),
                None => other(DiffEvent::Zero { offset_bytes, length_bytes }),
            });
        }
        let mut events = vec![other(DiffEvent::Begin(version))];
        events.extend(from.map(|name| other(DiffEvent::FromSnapshot(Name::from(name)))));
        events.extend(to.map(|name| other(DiffEvent::ToSnapshot(Name::from(name)))));
        events.extend(protection.map(|protected| other(DiffEvent::Protection(protected))));
        events.push(other(DiffEvent::Size(size(end_bytes))));
        events.extend(data);
        events.push(other(DiffEvent::End));
        events
    }
}

proptest! {
    #[test]
    fn written_diff_is_read_back_however_it_arrives(events in diff(), chunk in 1usize..40, behind in any::<Vec<u8>>()) {
        let stream = encode(&events);
        prop_assert_eq!(parse_whole(&stream).unwrap(), events.clone());
        let (read, left) = parse(&stream, chunk).unwrap();
        prop_assert_eq!(read, events.clone());
        prop_assert!(left.is_empty());
        let longer = [stream, behind.clone()].concat();
        let (read, left) = parse(&longer, usize::MAX).unwrap();
        prop_assert_eq!((read, left), (events, behind.as_slice()));
    }

    #[test]
    fn any_bytes_are_read_or_rejected(version in any::<bool>(), bytes in any::<Vec<u8>>(), chunk in 1usize..40) {
        let stream = if version { v1(&[&bytes]) } else { v2(&[&bytes]) };
        let whole = parse(&stream, usize::MAX).map(|(events, _)| events);
        let pieces = parse(&stream, chunk).map(|(events, _)| events);
        prop_assert_eq!(whole, pieces);
    }
}
