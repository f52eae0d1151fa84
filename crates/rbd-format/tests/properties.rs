//! Every version of every layout, written by the tests' own encoder; and values that are damaged.

mod common;

use common::{Encoder, Entries, all_fixtures, entries};
use proptest::collection::vec;
use proptest::prelude::*;
use rbd_format::header::{GroupMembership, MigrationRole, MigrationState};
use rbd_format::lock::LockKind;
use rbd_format::{
    ChildImage, DecodeError, DirectoryEntry, GroupEntry, HeaderBuilder, ImageHeader, LockInfo, MirrorImage, Name,
    Parent, Protection, Snapshot, SnapshotNamespace, Timestamp, TrashEntry, TrashSource, TrashState, children,
    decode_format_1_directory, decode_format_1_header, decode_header, decode_journal_tag,
};

const NO_SNAPSHOT: u64 = u64::MAX - 1;

/// The keys without which there is no header.
fn mandatory() -> Entries {
    let mut prefix = Encoder::default();
    prefix.string(b"rbd_data.1");
    vec![
        (b"size".to_vec(), vec![0; 8]),
        (b"order".to_vec(), vec![22]),
        (b"features".to_vec(), vec![0; 8]),
        (b"object_prefix".to_vec(), prefix.0),
        (b"snap_seq".to_vec(), vec![0; 8]),
    ]
}

/// A header with these entries besides the mandatory ones.
fn header_with(more: &[(&[u8], &[u8])]) -> Result<ImageHeader, DecodeError> {
    let mandatory = mandatory();
    decode_header(mandatory.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).chain(more.iter().copied()))
}

fn snapshot_key(id: u64) -> Vec<u8> {
    format!("snapshot_{id:016x}").into_bytes()
}

fn encode_parent(out: &mut Encoder, version: u8, extra: &[u8], parent: &Parent) {
    out.structure(version, version.min(2), |out| {
        out.i64(parent.pool_id);
        if version >= 2 {
            out.string(parent.namespace.as_bytes());
        }
        out.string(parent.image_id.as_bytes()).u64(parent.snap_id);
        if version >= 2 {
            out.option(parent.overlap_bytes);
        } else {
            out.u64(parent.overlap_bytes.unwrap_or(0));
        }
        if version > 2 {
            out.raw(extra);
        }
    });
}

fn encode_namespace(out: &mut Encoder, version: u8, extra: &[u8], namespace: &SnapshotNamespace) {
    out.structure(version, 1, |out| {
        match namespace {
            SnapshotNamespace::User => out.u32(0),
            SnapshotNamespace::Group { pool_id, group_id, group_snapshot_id } => {
                out.u32(1).i64(*pool_id).string(group_id.as_bytes()).string(group_snapshot_id.as_bytes())
            }
            SnapshotNamespace::Trash { original_name, original_kind } => {
                out.u32(2).string(original_name.as_bytes()).u32(*original_kind)
            }
            SnapshotNamespace::Mirror(mirror) => {
                out.u32(3).u8(mirror.state).u8(u8::from(mirror.complete));
                out.count(mirror.peer_uuids.len());
                for uuid in &mirror.peer_uuids {
                    out.string(uuid.as_bytes());
                }
                out.string(mirror.primary_mirror_uuid.as_bytes()).u64(mirror.primary_snap_id);
                out.u64(mirror.last_copied_object).count(mirror.snap_ids.len());
                for (there, here) in &mirror.snap_ids {
                    out.u64(*there).u64(*here);
                }
                &mut *out
            }
            SnapshotNamespace::Unknown(kind) => out.u32(*kind),
        };
        if version > 1 {
            out.raw(extra);
        }
    });
}

/// `compat` below 8 is the layout of before Nautilus, with features and the parent inside.
fn encode_snapshot(version: u8, compat: u8, extra: &[u8], snapshot: &Snapshot, parent: Option<&Parent>) -> Vec<u8> {
    let mut out = Encoder::default();
    out.structure(version, compat, |out| {
        out.u64(snapshot.id).string(snapshot.name.as_bytes()).u64(snapshot.size_bytes);
        if compat < 8 {
            out.u64(0x3d);
            if version >= 2 {
                let none = Parent {
                    pool_id: -1,
                    namespace: Name::default(),
                    image_id: String::new(),
                    snap_id: NO_SNAPSHOT,
                    overlap_bytes: None,
                };
                encode_parent(out, 1, extra, parent.unwrap_or(&none));
            }
        }
        if version >= 3 {
            out.u8(match snapshot.protection {
                Protection::Unprotected => 0,
                Protection::Unprotecting => 1,
                Protection::Protected => 2,
                Protection::Unknown(other) => other,
            });
        }
        if version >= 4 {
            out.u64(snapshot.flags);
        }
        if version >= 5 {
            encode_namespace(out, version.min(3) - 2, extra, &snapshot.namespace);
        }
        if version >= 6 {
            let created = snapshot.created.unwrap_or_default();
            out.u32(created.seconds).u32(created.nanoseconds);
        }
        if version >= 7 {
            out.u32(snapshot.child_count);
        }
        if version >= 8 {
            out.option(snapshot.parent_overlap_bytes);
        }
        if version > 8 {
            out.raw(extra);
        }
    });
    out.0
}

fn name() -> impl Strategy<Value = Name> {
    vec(any::<u8>(), 0..12).prop_map(Name::from)
}

fn id() -> impl Strategy<Value = String> {
    "[0-9a-f]{1,12}"
}

fn timestamp() -> impl Strategy<Value = Option<Timestamp>> {
    proptest::option::of(
        (1u32.., 0u32..1_000_000_000).prop_map(|(seconds, nanoseconds)| Timestamp { seconds, nanoseconds }),
    )
}

prop_compose! {
    fn parent()(
        pool_id in 0i64..,
        namespace in name(),
        image_id in id(),
        snap_id in 0..NO_SNAPSHOT,
        overlap_bytes in any::<Option<u64>>(),
    ) -> Parent {
        Parent { pool_id, namespace, image_id, snap_id, overlap_bytes }
    }
}

fn namespace() -> impl Strategy<Value = SnapshotNamespace> {
    prop_oneof![
        Just(SnapshotNamespace::User),
        (any::<i64>(), id(), id()).prop_map(|(pool_id, group_id, group_snapshot_id)| SnapshotNamespace::Group {
            pool_id,
            group_id,
            group_snapshot_id
        }),
        (name(), 0u32..4)
            .prop_map(|(original_name, original_kind)| SnapshotNamespace::Trash { original_name, original_kind }),
        (
            any::<(u8, bool, u64, u64)>(),
            vec(id(), 0..3),
            id(),
            proptest::collection::btree_map(any::<u64>(), any::<u64>(), 0..3)
        )
            .prop_map(
                |(
                    (state, complete, primary_snap_id, last_copied_object),
                    peer_uuids,
                    primary_mirror_uuid,
                    snap_ids,
                )| {
                    SnapshotNamespace::Mirror(rbd_format::snapshot::MirrorSnapshot {
                        state,
                        complete,
                        peer_uuids,
                        primary_mirror_uuid,
                        primary_snap_id,
                        last_copied_object,
                        snap_ids,
                    })
                }
            ),
        (4u32..).prop_map(SnapshotNamespace::Unknown),
    ]
}

prop_compose! {
    fn snapshot()(
        id in any::<u64>(),
        name in name(),
        size_bytes in any::<u64>(),
        protection in prop_oneof![
            Just(Protection::Unprotected),
            Just(Protection::Unprotecting),
            Just(Protection::Protected),
            (3u8..).prop_map(Protection::Unknown),
        ],
        flags in any::<u64>(),
        namespace in namespace(),
        created in timestamp(),
        child_count in any::<u32>(),
        parent_overlap_bytes in any::<Option<u64>>(),
    ) -> Snapshot {
        Snapshot { id, name, size_bytes, protection, flags, namespace, created, child_count, parent_overlap_bytes }
    }
}

proptest! {
    #[test]
    fn parents_of_all_versions_are_decoded(version in 1u8..=4, parent in parent(), extra in any::<Vec<u8>>()) {
        let mut value = Encoder::default();
        encode_parent(&mut value, version, &extra, &parent);
        let mut expected = parent;
        if version == 1 {
            expected.namespace = Name::default();
            expected.overlap_bytes = Some(expected.overlap_bytes.unwrap_or(0));
        }
        let header = header_with(&[(b"parent", &value.0)]).unwrap();
        prop_assert_eq!(header.parent, Some(expected));
    }

    #[test]
    fn snapshots_since_nautilus_are_decoded(version in 8u8..=10, snapshot in snapshot(), extra in any::<Vec<u8>>()) {
        let value = encode_snapshot(version, 8, &extra, &snapshot, None);
        let header = header_with(&[(&snapshot_key(snapshot.id), &value)]).unwrap();
        prop_assert_eq!(header.snapshots, vec![snapshot]);
        prop_assert_eq!(header.parent, None);
    }

    #[test]
    fn snapshots_before_nautilus_are_decoded(
        version in 1u8..=8,
        snapshot in snapshot(),
        parent in proptest::option::of(parent()),
        extra in any::<Vec<u8>>(),
    ) {
        let value = encode_snapshot(version, 1, &extra, &snapshot, parent.as_ref());
        let mut expected = snapshot;
        if version < 3 { expected.protection = Protection::Unprotected; }
        if version < 4 { expected.flags = 0; }
        if version < 5 { expected.namespace = SnapshotNamespace::User; }
        if version < 6 { expected.created = None; }
        if version < 7 { expected.child_count = 0; }
        if version < 8 { expected.parent_overlap_bytes = None; }
        let parent = parent.filter(|_| version >= 2);
        if let Some(parent) = &parent {
            expected.parent_overlap_bytes = expected.parent_overlap_bytes.or(Some(parent.overlap_bytes.unwrap_or(0)));
        }
        let key = snapshot_key(expected.id);
        let header = header_with(&[(&key, &value)]).unwrap();
        prop_assert_eq!(&header.snapshots, &vec![expected]);
        // The image was flattened: only the snapshot still knows the parent.
        let from_snapshot = parent.map(|parent| Parent { namespace: Name::default(), overlap_bytes: None, ..parent });
        prop_assert_eq!(header.parent, from_snapshot);

        let own = Parent { pool_id: 7, namespace: Name::from("n"), image_id: "own".into(), snap_id: 3, overlap_bytes: Some(9) };
        let mut own_value = Encoder::default();
        encode_parent(&mut own_value, 2, &[], &own);
        let header = header_with(&[(&key, &value), (b"parent", &own_value.0)]).unwrap();
        prop_assert_eq!(header.parent, Some(own));
    }

    #[test]
    fn children_of_all_versions_are_decoded(
        version in 1u8..=3,
        pool_id in any::<i64>(),
        children in vec((name(), id()), 0..4),
        extra in any::<Vec<u8>>(),
    ) {
        let mut value = Encoder::default();
        value.count(children.len());
        let mut expected = Vec::new();
        for (namespace, image_id) in children {
            value.structure(version, 1, |out| {
                out.i64(pool_id).string(image_id.as_bytes());
                if version >= 2 { out.string(namespace.as_bytes()); }
                if version >= 3 { out.raw(&extra); }
            });
            let namespace = if version >= 2 { namespace } else { Name::default() };
            expected.push(ChildImage { pool_id, namespace, image_id });
        }
        let header = header_with(&[(b"snap_children_00000000000000ff", &value.0)]).unwrap();
        prop_assert_eq!(header.children, [(255, expected)].into());
    }

    #[test]
    fn migrations_of_all_versions_are_decoded(
        version in 1u8..=4,
        (role, state, pool_id) in any::<(u8, u8, i64)>(),
        (namespace, image_name, image_id, description) in (name(), name(), id(), "[a-z é]{0,9}"),
        source_spec in "[a-z{}]{0,9}",
        snap_seqs in vec(any::<(u64, u64)>(), 0..3),
        extra in any::<Vec<u8>>(),
    ) {
        let compat = if version >= 3 && !source_spec.is_empty() { 3 } else { 1 };
        let mut value = Encoder::default();
        value.structure(version, compat, |out| {
            out.u8(role).i64(pool_id).string(namespace.as_bytes()).string(image_name.as_bytes());
            out.string(image_id.as_bytes()).count(snap_seqs.len());
            for (there, here) in &snap_seqs { out.u64(*there).u64(*here); }
            out.u64(1).u8(1).u8(0).u8(state).string(description.as_bytes());
            if version >= 2 { out.u8(1); }
            if version >= 3 { out.string(source_spec.as_bytes()); }
            if version >= 4 { out.raw(&extra); }
        });
        let migration = header_with(&[(b"migration", &value.0)]).unwrap().migration.unwrap();
        let expected_role = match role {
            1 => MigrationRole::Source,
            2 => MigrationRole::Destination,
            other => MigrationRole::Unknown(other),
        };
        let states = [
            MigrationState::Error, MigrationState::Preparing, MigrationState::Prepared,
            MigrationState::Executing, MigrationState::Executed, MigrationState::Aborting,
        ];
        let expected_state = states.get(usize::from(state)).copied().unwrap_or(MigrationState::Unknown(state));
        prop_assert_eq!((migration.role, migration.state), (expected_role, expected_state));
        prop_assert_eq!((migration.pool_id, migration.namespace), (pool_id, namespace));
        prop_assert_eq!((migration.image_name, migration.image_id), (image_name, image_id));
        prop_assert_eq!(migration.state_description, description);
        prop_assert_eq!(migration.source_spec, Some(source_spec).filter(|spec| version >= 3 && !spec.is_empty()));
    }

    #[test]
    fn trash_of_all_versions_is_decoded(
        version in 1u8..=3,
        (source, state) in any::<(u8, u8)>(),
        name in name(),
        (deleted, deferment_end) in (timestamp(), timestamp()),
        extra in any::<Vec<u8>>(),
    ) {
        let (deleted, deferment_end) = (deleted.unwrap_or_default(), deferment_end.unwrap_or_default());
        let mut value = Encoder::default();
        value.structure(version, 1, |out| {
            out.u8(source).string(name.as_bytes());
            for at in [deleted, deferment_end] { out.u32(at.seconds).u32(at.nanoseconds); }
            if version >= 2 { out.u8(state); }
            if version >= 3 { out.raw(&extra); }
        });
        let sources = [
            TrashSource::User, TrashSource::Mirroring, TrashSource::Migration, TrashSource::Removing,
            TrashSource::UserParent,
        ];
        let states = [TrashState::Normal, TrashState::Moving, TrashState::Removing, TrashState::Restoring];
        let state = if version >= 2 { state } else { 0 };
        let expected = TrashEntry {
            image_id: "ab".into(),
            source: sources.get(usize::from(source)).copied().unwrap_or(TrashSource::Unknown(source)),
            name,
            deleted,
            deferment_end,
            state: states.get(usize::from(state)).copied().unwrap_or(TrashState::Unknown(state)),
        };
        if version == 2 {
            prop_assert_eq!(expected.value(), value.0.clone());
        }
        prop_assert_eq!(TrashEntry::decode(b"id_ab", &value.0), Ok(Some(expected)));
    }

    #[test]
    fn locks_with_addresses_of_all_layouts_are_decoded(
        number in any::<i64>(),
        (cookie, tag, description) in (name(), name(), name()),
        (nonce, port, legacy) in any::<(u32, u16, bool)>(),
        ip in any::<std::net::IpAddr>(),
        expires in timestamp(),
    ) {
        let mut socket = Encoder::default();
        socket.raw(&port.to_be_bytes());
        let family: u16 = match ip {
            std::net::IpAddr::V4(ip) => { socket.raw(&ip.octets()).raw(&[0; 8]); 2 }
            std::net::IpAddr::V6(ip) => { socket.u32(5).raw(&ip.octets()).u32(6); 10 }
        };
        let mut value = Encoder::default();
        value.structure(1, 1, |out| {
            out.u32(1);
            out.structure(1, 1, |out| { out.u8(8).i64(number).string(cookie.as_bytes()); });
            out.structure(1, 1, |out| {
                let at = expires.unwrap_or_default();
                out.u32(at.seconds).u32(at.nanoseconds);
                if legacy {
                    out.u32(0).u32(nonce).raw(&family.to_be_bytes()).raw(&socket.0);
                    out.raw(&vec![0; 126 - socket.0.len()]);
                } else {
                    out.u8(1).structure(1, 1, |out| {
                        out.u32(3).u32(nonce).string(&[&family.to_le_bytes(), socket.0.as_slice()].concat());
                    });
                }
                out.string(description.as_bytes());
            });
            out.u8(2).string(tag.as_bytes());
        });
        let lock = LockInfo::decode(&value.0).unwrap();
        prop_assert_eq!((lock.kind, lock.tag), (LockKind::Shared, tag));
        let locker = &lock.lockers[0];
        prop_assert_eq!((&locker.cookie, &locker.description, locker.expires), (&cookie, &description, expires));
        prop_assert_eq!(locker.entity.to_string(), format!("client.{number}"));
        let socket = std::net::SocketAddr::new(ip, port);
        prop_assert_eq!((locker.address.nonce, locker.address.socket), (nonce, Some(socket)));
    }

    #[test]
    fn any_bytes_are_decoded_or_rejected(value in vec(any::<u8>(), 0..200), key in vec(any::<u8>(), 0..60)) {
        decode_all(&key, &value);
        for prefix in KEYS {
            decode_all(prefix, &value);
            decode_all(&[prefix, key.as_slice()].concat(), &value);
        }
    }
}

/// Keys and beginnings of keys that lead to different decoders.
const KEYS: &[&[u8]] = &[
    b"size",
    b"order",
    b"object_prefix",
    b"create_timestamp",
    b"parent",
    b"rbd_group_ref",
    b"migration",
    b"snapshot_0000000000000001",
    b"snap_children_0000000000000001",
    b"snapshot_",
    b"metadata_",
    b"name_",
    b"id_",
    b"state",
    b"image_0000000000000001_",
];

fn decode_all(key: &[u8], value: &[u8]) {
    let _ = HeaderBuilder::default().entry(key, value);
    let _ = DirectoryEntry::decode(key, value);
    let _ = TrashEntry::decode(key, value);
    let _ = GroupEntry::decode(key, value);
    let _ = children::decode_children_entry(key, value);
    let _ = LockInfo::decode(value);
    let _ = MirrorImage::decode(key, value);
    let _ = decode_journal_tag(value);
    let _ = decode_format_1_directory(value);
    let _ = decode_format_1_header(value);
}

/// What decodes the values of a fixture.
fn decoder(fixture: &str) -> fn(&[u8], &[u8]) -> Result<(), DecodeError> {
    match fixture.split(['-', '.']).next() {
        Some("header") => |key, value| HeaderBuilder::default().entry(key, value),
        Some("directory") => |key, value| DirectoryEntry::decode(key, value).map(drop),
        Some("trash") => |key, value| TrashEntry::decode(key, value).map(drop),
        Some("children") => |key, value| children::decode_children_entry(key, value).map(drop),
        Some("group") if fixture.starts_with("group-header") => |key, value| GroupEntry::decode(key, value).map(drop),
        Some("group") => |key, value| DirectoryEntry::decode(key, value).map(drop),
        Some("lock") => |_, value| LockInfo::decode(value).map(drop),
        Some("mirroring") => |key, value| MirrorImage::decode(key, value).map(drop),
        Some("journal") => |_, value| decode_journal_tag(value).map(drop),
        other => panic!("no decoder for {other:?}"),
    }
}

#[test]
fn every_truncation_is_an_error() {
    let mut truncations = 0;
    for suffix in [".omap", ".xattr", ".reply"] {
        for fixture in all_fixtures(suffix) {
            if fixture == "namespace.omap" {
                continue;
            }
            let decode = decoder(&fixture);
            for (key, value) in entries(&fixture) {
                // Of these two objects a part is of interest.
                let skipped = match fixture.split(['-', '.']).next() {
                    Some("mirroring") => !key.starts_with(b"image_"),
                    Some("journal") => !key.starts_with(b"tag_"),
                    _ => false,
                };
                if skipped {
                    continue;
                }
                assert_eq!(decode(&key, &value), Ok(()));
                if key.starts_with(b"metadata_") {
                    continue;
                }
                for len in 0..value.len() {
                    let cut = decode(&key, &value[..len]);
                    assert!(cut.is_err(), "{fixture} {} at {len}: {cut:?}", key.escape_ascii());
                    truncations += 1;
                }
                // A structure whose length says that it is as long as it is, but which lacks its end.
                let is_structure =
                    value.len() >= 6 && value[2..6] == u32::try_from(value.len() - 6).unwrap().to_le_bytes();
                for len in 6..value.len() * usize::from(is_structure) {
                    let mut cut = value[..len].to_vec();
                    cut[2..6].copy_from_slice(&u32::try_from(len - 6).unwrap().to_le_bytes());
                    let error = decode(&key, &cut);
                    assert!(error.is_err(), "{fixture} {} shortened to {len}: {error:?}", key.escape_ascii());
                    truncations += 1;
                }
            }
        }
    }
    assert!(truncations > 2000, "only {truncations}");
}

#[test]
fn structures_for_newer_readers_are_rejected() {
    let cases: [(&[u8], &str, u8); 5] = [
        (b"parent", "cls_rbd_parent", 2),
        (b"snapshot_0000000000000001", "cls_rbd_snap", 8),
        (b"rbd_group_ref", "GroupSpec", 1),
        (b"migration", "MigrationSpec", 3),
        (b"snap_children_0000000000000001", "ChildImageSpec", 2),
    ];
    for (key, what, known) in cases {
        let mut value = Encoder::default();
        if key.starts_with(b"snap_children_") {
            value.u32(1);
        }
        value.structure(known + 1, known + 1, |out| {
            out.raw(&[0; 100]);
        });
        let Err(DecodeError::AtKey { key: at, source }) = header_with(&[(key, &value.0)]) else {
            panic!("{what} was not rejected")
        };
        assert_eq!(at.as_bytes(), key);
        assert_eq!(*source, DecodeError::Unsupported { what, compat: known + 1, known });
    }
}

#[test]
fn counts_beyond_the_value_are_rejected_before_allocating() {
    let mut children = Encoder::default();
    children.u32(u32::MAX).raw(&[0; 64]);
    let error = header_with(&[(b"snap_children_0000000000000001", &children.0)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "key snap_children_0000000000000001: child images: needs 77309411310 more bytes, 64 are left"
    );
}

#[test]
fn entries_come_in_any_order_and_in_pages() {
    for fixture in all_fixtures(".omap").iter().filter(|name| name.starts_with("header")) {
        let mut entries = entries(fixture);
        let expected = decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))).unwrap();
        entries.reverse();
        let mut builder = HeaderBuilder::default();
        for page in entries.chunks(3) {
            for (key, value) in page {
                builder.entry(key, value).unwrap();
            }
        }
        assert_eq!(builder.finish(), Ok(expected));
    }
}

#[test]
fn damaged_keys_and_numbers_are_named() {
    let snapshot = Snapshot {
        id: 1,
        name: Name::from("s"),
        size_bytes: 0,
        protection: Protection::Unprotected,
        flags: 0,
        namespace: SnapshotNamespace::User,
        created: None,
        child_count: 0,
        parent_overlap_bytes: None,
    };
    let value = encode_snapshot(8, 8, &[], &snapshot, None);
    assert!(header_with(&[(b"snapshot_0000000000000001", &value)]).is_ok());
    for (key, value, message) in [
        (
            &b"snapshot_0000000000000002"[..],
            &value[..],
            "key snapshot_0000000000000002: snapshot id: is not that of its key",
        ),
        (b"snapshot_1", &value, "key snapshot_1: snapshot key: is not 16 hexadecimal digits"),
        (
            b"snapshot_+000000000000001",
            &value,
            "key snapshot_+000000000000001: snapshot key: is not 16 hexadecimal digits",
        ),
        (b"order", &[64], "key order: order: is 64 or more"),
        (b"object_prefix", b"\x01\0\0\0\xff", "key object_prefix: object prefix: is not UTF-8"),
    ] {
        assert_eq!(header_with(&[(key, value)]).unwrap_err().to_string(), message);
    }
    let largest = header_with(&[(b"order", &[63])]).unwrap();
    assert_eq!(largest.object_size_bytes(), 1 << 63);
}

#[test]
fn records_that_stand_for_none_are_none() {
    let mut group = Encoder::default();
    group.structure(1, 1, |out| {
        out.i64(-1).string(b"");
    });
    let mut member = Encoder::default();
    member.structure(1, 1, |out| {
        out.i64(0).string(b"ab");
    });
    assert_eq!(header_with(&[(b"rbd_group_ref", &group.0)]).unwrap().group, None);
    assert_eq!(
        header_with(&[(b"rbd_group_ref", &member.0)]).unwrap().group,
        Some(GroupMembership { pool_id: 0, group_id: "ab".into() })
    );
    let unset = header_with(&[(b"create_timestamp", &[0; 8]), (b"unknown to this release", b"\xff")]).unwrap();
    assert_eq!(unset.created, None);
}
