//! What a real cluster wrote, decoded to what its own `rbd` command said of it.

mod common;

use common::{data, entries};
use rbd_format::format1::{Format1Snapshot, is_header};
use rbd_format::group::{GroupImage, GroupSnapshot, GroupSnapshotImage};
use rbd_format::header::{GroupMembership, MigrationRole, MigrationState, Striping};
use rbd_format::lock::LockKind;
use rbd_format::{
    ChildImage, DecodeError, DirectoryEntry, GroupEntry, ImageHeader, LockInfo, MirrorImage, MirrorMode, MirrorRole,
    MirrorState, Name, Parent, ParentSnapshot, Protection, SnapshotNamespace, TrashEntry, TrashSource, TrashState,
    children, decode_format_1_directory, decode_format_1_header, decode_header, decode_journal_tag, directory,
};

const MIB: u64 = 1 << 20;
const BASE_ID: &str = "10237b3cba5b";

fn header(name: &str) -> ImageHeader {
    let entries = entries(name);
    decode_header(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))).expect(name)
}

fn base_parent(snap_id: u64, overlap_bytes: Option<u64>) -> Parent {
    Parent { pool_id: 1, namespace: Name::default(), image_id: BASE_ID.into(), snap_id, overlap_bytes }
}

fn feature_names(header: &ImageHeader) -> String {
    assert_eq!(header.features.unknown(), 0);
    header.features.names().collect::<Vec<_>>().join(", ")
}

fn op_feature_names(header: &ImageHeader) -> String {
    header.op_features.names().collect::<Vec<_>>().join(", ")
}

#[test]
fn plain_image_in_a_group_is_decoded() {
    let header = header("header-plain.omap");
    assert_eq!(header.size_bytes, 10 * MIB);
    assert_eq!((header.order, header.object_size_bytes()), (22, 4 * MIB));
    assert_eq!(feature_names(&header), "layering, operations");
    assert_eq!(op_feature_names(&header), "group");
    assert_eq!(header.object_prefix, "rbd_data.101989ee6a74");
    assert_eq!(header.flags.0, 0);
    assert_eq!((header.data_pool_id, header.striping, header.snapshot_limit), (None, None, None));
    assert_eq!((&header.parent, &header.migration), (&None, &None));
    // Mon Nov 23 05:20:57 2026
    assert_eq!(header.created.map(|at| at.seconds), Some(1_795_411_257));
    assert_eq!(header.accessed, header.created);
    assert_eq!(header.modified, header.created);
    assert_eq!(header.group, Some(GroupMembership { pool_id: 1, group_id: "10416b8b4567".into() }));
    assert_eq!(header.snap_seq, 9);
    let [snapshot] = &header.snapshots[..] else { panic!("one snapshot: {header:?}") };
    assert_eq!((snapshot.id, snapshot.size_bytes), (9, 10 * MIB));
    assert_eq!(snapshot.name, ".group.1_10416b8b4567_10476b8b4567");
    assert_eq!(
        snapshot.namespace,
        SnapshotNamespace::Group {
            pool_id: 1,
            group_id: "10416b8b4567".into(),
            group_snapshot_id: "10476b8b4567".into()
        }
    );
}

#[test]
fn image_with_every_feature_is_decoded() {
    let header = header("header-full.omap");
    assert_eq!(header.size_bytes, 1024 * MIB);
    assert_eq!(header.object_size_bytes(), MIB);
    assert_eq!(
        feature_names(&header),
        "layering, striping, exclusive-lock, object-map, fast-diff, deep-flatten, journaling, data-pool"
    );
    assert_eq!(header.object_prefix, "rbd_data.1.101b66b4823c");
    assert_eq!(header.data_pool_id, Some(2));
    assert_eq!(header.striping, Some(Striping { unit_bytes: 64 << 10, count: 4 }));
    assert_eq!(header.snapshot_limit, Some(5));
    let metadata: Vec<_> = header.metadata.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    assert_eq!(
        metadata,
        [("conf_rbd_qos_iops_limit".to_owned(), b"100".to_vec()), ("owner".to_owned(), "Zoë".as_bytes().to_vec())]
    );
    assert_eq!(header.metadata.get(b"owner".as_slice()).map(Vec::len), Some(4));
}

#[test]
fn image_with_clones_is_decoded() {
    let header = header("header-base.omap");
    assert_eq!(op_feature_names(&header), "clone-parent, snap-trash");
    let [one, two, gone] = &header.snapshots[..] else { panic!("three snapshots: {header:?}") };
    assert_eq!((one.id, &one.namespace, one.protection), (4, &SnapshotNamespace::User, Protection::Protected));
    assert_eq!((two.id, &two.namespace, two.protection), (5, &SnapshotNamespace::User, Protection::Unprotected));
    assert_eq!(one.name, "one");
    assert_eq!(two.name, "two");
    // The two clones of format 1 of `one` are not counted.
    assert_eq!([one.child_count, two.child_count, gone.child_count], [0, 2, 1]);
    assert_eq!(gone.name, "a006a216-6887-45c7-b4e2-ee9fd71442cd");
    assert_eq!(gone.namespace, SnapshotNamespace::Trash { original_name: Name::from("gone"), original_kind: 0 });
    // Mon Nov 23 05:20:58 2026
    assert_eq!(one.created.map(|at| at.seconds), Some(1_795_411_258));
    assert_eq!(one.parent_overlap_bytes, None);

    let child = |namespace: &str, image_id: &str| ChildImage {
        pool_id: 1,
        namespace: Name::from(namespace),
        image_id: image_id.into(),
    };
    let expected =
        [(5, vec![child("", "103b9ce33560"), child("team-a", "102def18b15f")]), (6, vec![child("", "102fa9aaef5")])];
    assert_eq!(header.children, expected.into());
}

#[test]
fn clones_are_decoded() {
    assert_eq!(header("header-clone1.omap").parent, Some(base_parent(4, Some(64 * MIB))));
    assert_eq!(header("header-clone3.omap").parent, Some(base_parent(6, Some(64 * MIB))));
    let shrunk = header("header-clone2.omap");
    assert_eq!(op_feature_names(&shrunk), "clone-child");
    assert_eq!(shrunk.parent, Some(base_parent(5, Some(32 * MIB))));
    assert_eq!(shrunk.snapshots[0].parent_overlap_bytes, Some(32 * MIB));
}

#[test]
fn flattened_clone_keeps_the_parent_for_its_snapshot() {
    let header = header("header-flat.omap");
    assert_eq!(header.parent, Some(base_parent(5, None)));
    assert_eq!(header.snapshots[0].name, "old");
    assert_eq!(header.snapshots[0].parent_overlap_bytes, Some(64 * MIB));
}

#[test]
fn mirror_snapshot_is_decoded() {
    let header = header("header-mirrored.omap");
    let [snapshot] = &header.snapshots[..] else { panic!("one snapshot: {header:?}") };
    let SnapshotNamespace::Mirror(mirror) = &snapshot.namespace else { panic!("a mirror snapshot: {snapshot:?}") };
    assert_eq!((mirror.state, mirror.complete), (0, true));
    assert_eq!(mirror.peer_uuids, ["5945bc69-01fd-4896-8f4a-45fe6f026d5f"]);
    assert_eq!((mirror.primary_mirror_uuid.as_str(), mirror.primary_snap_id), ("", u64::MAX - 1));
    assert_eq!((mirror.last_copied_object, mirror.snap_ids.len()), (0, 0));
}

#[test]
fn both_ends_of_a_migration_are_decoded() {
    let source = header("header-migration-source.omap");
    assert!(feature_names(&source).ends_with("deep-flatten, migrating"));
    let migration = source.migration.expect("a migration");
    assert_eq!((migration.role, migration.state), (MigrationRole::Source, MigrationState::Prepared));
    assert_eq!((migration.pool_id, migration.image_id.as_str()), (2, "104b5708d19d"));
    assert_eq!(migration.image_name, "mig-new");
    assert!(migration.namespace.is_empty());
    assert_eq!((migration.state_description.as_str(), migration.source_spec), ("", None));

    let migration = header("header-migration-target.omap").migration.expect("a migration");
    assert_eq!((migration.role, migration.state), (MigrationRole::Destination, MigrationState::Prepared));
    assert_eq!((migration.pool_id, migration.image_id.as_str()), (1, "10499861bf4e"));
    assert_eq!(migration.image_name, "mig");
}

#[test]
fn header_of_an_image_being_removed_is_decoded() {
    let header = header("header-removing.omap");
    assert_eq!(header.size_bytes, 2 << 40);
    assert_eq!(header.object_prefix, "rbd_data.10b5b749aa58");
}

#[test]
fn header_without_a_mandatory_key_is_an_error() {
    let all = entries("header-plain.omap");
    for missing in ["size", "order", "features", "object_prefix", "snap_seq"] {
        let left = all.iter().filter(|(key, _)| key != missing.as_bytes());
        let header = decode_header(left.map(|(key, value)| (key.as_slice(), value.as_slice())));
        assert_eq!(header, Err(DecodeError::Missing(missing)));
    }
    assert_eq!(decode_header([]), Err(DecodeError::Missing("size")));
}

#[test]
fn directories_are_decoded() {
    let mut names = Vec::new();
    let mut ids = Vec::new();
    for (key, value) in entries("directory.omap") {
        match DirectoryEntry::decode(&key, &value).expect("an entry").expect("a known key") {
            DirectoryEntry::Name { name, id } => names.push((name, id)),
            DirectoryEntry::Id { id, name } => ids.push((name, id)),
            DirectoryEntry::State { ready } => assert!(ready),
        }
    }
    ids.sort();
    assert_eq!(names, ids);
    let shown: Vec<_> = names.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(
        shown,
        ["base", "clone1", "clone1b", "clone3", "flat", "full", "mirrored", r"/odd name\xff", "plain", "t2"]
    );
    let odd = names.iter().find(|(_, id)| id == "1059eab8bb1c").map(|(name, _)| name).expect("the odd name");
    assert_eq!((odd.as_bytes(), odd.as_str()), (b"odd name\xff".as_slice(), None));

    let [(key, value)] = &entries("directory-empty-namespace.omap")[..] else { panic!("one entry") };
    assert_eq!(DirectoryEntry::decode(key, value), Ok(Some(DirectoryEntry::State { ready: true })));
    assert_eq!(DirectoryEntry::decode(b"something new", b""), Ok(None));

    assert_eq!(directory::decode_id_object(&data("id-plain.object")), Ok("101989ee6a74".into()));
    assert_eq!(directory::id_object(&Name::from("plain")), b"rbd_id.plain");

    let namespaces: Vec<_> =
        entries("namespace.omap").iter().filter_map(|(key, _)| directory::namespace_from_key(key)).collect();
    assert_eq!(namespaces, [Name::from("empty"), Name::from("team-a")]);
}

#[test]
fn trash_is_decoded() {
    let trash: Vec<_> = entries("trash.omap")
        .iter()
        .map(|(key, value)| TrashEntry::decode(key, value).expect("an entry").expect("a known key"))
        .collect();
    let shown: Vec<_> = trash.iter().map(|entry| (entry.name.as_str().unwrap(), entry.source, entry.state)).collect();
    assert_eq!(
        shown,
        [
            ("mig", TrashSource::Migration, TrashState::Normal),
            ("t1", TrashSource::User, TrashState::Normal),
            ("t2", TrashSource::User, TrashState::Normal),
            ("big", TrashSource::Removing, TrashState::Removing),
        ]
    );
    assert_eq!(trash[2].image_id, "1057314007d7");
    // Mon Nov 23 05:21:44 2026, protected until Tue Nov 24 05:21:44 2026
    assert_eq!(trash[2].deleted.seconds, 1_795_411_304);
    assert_eq!(trash[2].deferment_end.seconds - trash[2].deleted.seconds, 86_400);
    assert_eq!(trash[1].deferment_end, trash[1].deleted);
    let at = trash[2].deleted;
    let since = at.to_system_time().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!((since.as_secs(), since.subsec_nanos()), (u64::from(at.seconds), at.nanoseconds));
}

#[test]
fn children_of_format_1_are_decoded() {
    let [(key, value)] = &entries("children.omap")[..] else { panic!("one entry") };
    let parent = ParentSnapshot { pool_id: 1, image_id: BASE_ID.into(), snap_id: 4 };
    let ids = vec!["1031e452115d".to_owned(), "1033f1823a59".to_owned()];
    assert_eq!(parent.key(), *key);
    assert_eq!(children::decode_children_entry(key, value), Ok((parent, ids)));
}

#[test]
fn groups_are_decoded() {
    let directory: Vec<_> = entries("group-directory.omap")
        .iter()
        .map(|(key, value)| DirectoryEntry::decode(key, value).unwrap().unwrap())
        .collect();
    let (id, name) = ("10416b8b4567".to_owned(), Name::from("g"));
    assert_eq!(
        directory,
        [DirectoryEntry::Id { id: id.clone(), name: name.clone() }, DirectoryEntry::Name { name, id }]
    );
    let header: Vec<_> = entries("group-header.omap")
        .iter()
        .map(|(key, value)| GroupEntry::decode(key, value).unwrap().unwrap())
        .collect();
    let image_id = "101989ee6a74".to_owned();
    assert_eq!(
        header,
        [
            GroupEntry::Image(GroupImage { pool_id: 1, image_id: image_id.clone(), attached: true }),
            GroupEntry::Snapshot(GroupSnapshot {
                id: "10476b8b4567".into(),
                name: Name::from("gs"),
                complete: true,
                images: vec![GroupSnapshotImage { pool_id: 1, image_id, snap_id: 9 }],
            }),
        ]
    );
}

#[test]
fn locks_are_decoded() {
    let lock = |fixture: &str| LockInfo::decode(&entries(fixture)[0].1).expect(fixture);
    let summary = |lock: &LockInfo| {
        let locker = &lock.lockers[0];
        assert_eq!((lock.lockers.len(), locker.expires), (1, None));
        format!("{} {} {} {:?}", locker.entity, locker.cookie, locker.address, locker.description)
    };
    let plain = lock("lock-plain.xattr");
    assert_eq!((plain.kind, &plain.tag, plain.is_automatic()), (LockKind::Exclusive, &Name::default(), false));
    assert_eq!(summary(&plain), r#"client.4191 my-cookie 127.0.0.1:0/3936685195 """#);
    assert_eq!(lock("lock-get-info.reply"), plain);

    let shared = lock("lock-shared.xattr");
    assert_eq!((shared.kind, &shared.tag), (LockKind::Shared, &Name::from("tag-x")));
    assert_eq!(summary(&shared), r#"client.4193 cookie-s 127.0.0.1:0/1315608658 """#);

    let exclusive = lock("lock-exclusive.xattr");
    assert_eq!((exclusive.kind, exclusive.is_automatic()), (LockKind::Exclusive, true));
    assert_eq!(summary(&exclusive), r#"client.4263 auto 140641120030688 127.0.0.1:0/1228797027 """#);
}

#[test]
fn images_of_format_1_are_decoded() {
    let names = decode_format_1_directory(&data("directory-format-1.object")).expect("a directory");
    assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["old", "plain1"]);
    assert_eq!(decode_format_1_directory(&[]), Ok(Vec::new()));
    let header = decode_format_1_header(&data("header-format-1.object")).expect("a header");
    assert_eq!((header.size_bytes, header.order, header.object_size_bytes()), (12 * MIB, 22, 4 * MIB));
    assert_eq!((header.object_prefix.as_str(), header.snap_seq), ("rb.0.100a.6b8b4567", 7));
    let snapshot = |id, name: &str, size_bytes| Format1Snapshot { id, name: name.into(), size_bytes };
    assert_eq!(header.snapshots, [snapshot(6, "s1", 10 * MIB), snapshot(7, "s2", 12 * MIB)]);
    let plain = decode_format_1_header(&data("header-format-1-plain.object")).expect("a header");
    assert_eq!((plain.size_bytes, plain.order, plain.snapshots.len()), (3 * MIB, 21, 0));
    assert!(is_header(&data("header-format-1.object")) && !is_header(&data("id-plain.object")));
}

#[test]
fn mirrored_images_are_decoded() {
    let decoded = entries("mirroring.omap");
    let images: Vec<MirrorImage> =
        decoded.iter().filter_map(|(key, value)| MirrorImage::decode(key, value).expect("an entry")).collect();
    let found: Vec<_> = images.iter().map(|image| (image.image_id.as_str(), image.state, image.mode)).collect();
    let enabled = |id, mode| (id, MirrorState::Enabled, mode);
    assert_eq!(
        found,
        [
            enabled("101458ce7598", MirrorMode::Snapshot),
            enabled("102331222fde", MirrorMode::Journal),
            enabled("1027f9357799", MirrorMode::Journal)
        ]
    );
    assert_eq!(images[0].global_id, "4068ed1e-f203-4eaa-8a82-2547f0a3c39b");
    for (fixture, role) in [("journaled", MirrorRole::Primary), ("demoted", MirrorRole::Demoted)] {
        let journal = entries(&format!("journal-{fixture}.omap"));
        let (_, newest) = journal.iter().rfind(|(key, _)| key.starts_with(b"tag_")).expect("a tag");
        assert_eq!(decode_journal_tag(newest), Ok(role), "{fixture}");
    }
}
