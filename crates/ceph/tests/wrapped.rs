//! Which functions of librbd this crate wraps, and why it leaves the others: `docs/reference/librbd.md`. It is checked
//! in, so that a change of it is seen; the test fails while it is stale.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// Set by `make reference`: the page is written instead of compared.
const WRITE_VARIABLE: &str = "SPARROW_REFERENCE_WRITE";

const PAGE: &str = "docs/reference/librbd.md";

/// A reason to leave functions alone, and which: names, or with a `*` at the end their beginnings.
struct Left {
    title: &'static str,
    reason: &'static str,
    functions: &'static [&'static str],
}

/// The first that fits counts.
const LEFT: &[Left] = &[
    Left {
        title: "Mirroring",
        reason: "Copies between clusters are set up by who runs them, not by who uses images; the service only tells which end an image is.",
        functions: &[
            "rbd_mirror_*",
            "rbd_aio_mirror_*",
            "rbd_snap_get_mirror_namespace",
            "rbd_snap_mirror_namespace_cleanup",
        ],
    },
    Left {
        title: "Live migration",
        reason: "A migration that is begun must be led to its end by hand. Images in one are recognised, from their headers.",
        functions: &["rbd_migration_*", "rbd_get_migration_source_spec"],
    },
    Left {
        title: "Encryption",
        reason: "LUKS takes a passphrase, which the service would have to hold.",
        functions: &["rbd_encryption_*"],
    },
    Left {
        title: "Opening by name",
        reason: "An image is opened by the id of the header that was looked at before, so that it is the same one.",
        functions: &["rbd_open", "rbd_open_read_only"],
    },
    Left {
        title: "Quiescing",
        reason: "For clients that hold a file system on the image, to bring it to rest before a snapshot.",
        functions: &["rbd_quiesce_*"],
    },
    Left {
        title: "Read from headers",
        reason: "The header gives it without opening the image, many images at a time: the crate `rbd-format` decodes it.",
        functions: &[
            "rbd_get_access_timestamp",
            "rbd_get_block_name_prefix",
            "rbd_get_group",
            "rbd_get_modify_timestamp",
            "rbd_get_name",
            "rbd_get_parent",
            "rbd_get_parent_info",
            "rbd_get_parent_info2",
            "rbd_group_info_cleanup",
            "rbd_linked_image_spec_cleanup",
            "rbd_metadata_list",
            "rbd_snap_get_group_namespace",
            "rbd_snap_get_id",
            "rbd_snap_get_limit",
            "rbd_snap_get_name",
            "rbd_snap_get_namespace_type",
            "rbd_snap_get_timestamp",
            "rbd_snap_get_trash_namespace",
            "rbd_snap_group_namespace_cleanup",
            "rbd_snap_spec_cleanup",
            "rbd_snap_exists",
            "rbd_trash_get",
            "rbd_trash_get_cleanup",
        ],
    },
    Left {
        title: "Superseded",
        reason: "A younger or fuller variant is wrapped: one with options, progress, ids, or of the current image format.",
        functions: &[
            "rbd_clone",
            "rbd_clone2",
            "rbd_copy",
            "rbd_copy2",
            "rbd_copy3",
            "rbd_copy4",
            "rbd_copy_with_progress",
            "rbd_copy_with_progress2",
            "rbd_copy_with_progress3",
            "rbd_create",
            "rbd_create2",
            "rbd_create3",
            "rbd_deep_copy",
            "rbd_diff_iterate",
            "rbd_flatten",
            "rbd_get_old_format",
            "rbd_group_snap_create",
            "rbd_group_snap_rollback",
            "rbd_image_spec_cleanup",
            "rbd_list",
            "rbd_list_child_cleanup",
            "rbd_list_children",
            "rbd_list_children2",
            "rbd_list_children_cleanup",
            "rbd_remove",
            "rbd_resize",
            "rbd_resize_with_progress",
            "rbd_snap_create",
            "rbd_snap_remove",
            "rbd_snap_rollback",
            "rbd_snap_set",
            "rbd_sparsify",
            "rbd_trash_remove",
        ],
    },
    Left {
        title: "Blocking input and output",
        reason: "The asynchronous functions are wrapped; these would hold a thread for each transfer.",
        functions: &[
            "rbd_read",
            "rbd_read2",
            "rbd_read_iterate",
            "rbd_read_iterate2",
            "rbd_write",
            "rbd_write2",
            "rbd_write_zeroes",
            "rbd_discard",
            "rbd_flush",
        ],
    },
    Left {
        title: "Other ways to transfer",
        reason: "Scattered buffers, hints to the cache, patterns and compare-and-write: nothing here reads or writes so.",
        functions: &[
            "rbd_aio_compare_and_write",
            "rbd_aio_read2",
            "rbd_aio_readv",
            "rbd_aio_write2",
            "rbd_aio_writesame",
            "rbd_aio_writev",
            "rbd_compare_and_write",
            "rbd_invalidate_cache",
            "rbd_writesame",
        ],
    },
    Left {
        title: "Other ways to wait",
        reason: "Completions wake a future from their callback: nothing polls, and opening and closing run where blocking is allowed.",
        functions: &[
            "rbd_aio_close",
            "rbd_aio_get_arg",
            "rbd_aio_is_complete",
            "rbd_aio_open*",
            "rbd_aio_wait_for_complete",
            "rbd_poll_io_events",
            "rbd_set_image_notification",
            "rbd_update_unwatch",
            "rbd_update_watch",
        ],
    },
    Left {
        title: "Locks of long-lived clients",
        reason: "An image is open for one request at a time; locks of others are listed and broken through what is wrapped.",
        functions: &[
            "rbd_lock_break",
            "rbd_lock_get_owners",
            "rbd_lock_get_owners_cleanup",
            "rbd_lock_shared",
            "rbd_unlock",
        ],
    },
    Left {
        title: "Settings of librbd",
        reason: "An image's settings are its metadata `conf_*`, which is wrapped. Those of a whole pool are not changed from here.",
        functions: &["rbd_config_*", "rbd_pool_metadata_*"],
    },
    Left {
        title: "Composed here",
        reason: "Done step by step with what is wrapped, so that it can be reported, cancelled and limited: purging the trash image by \
                 image, descendants level by level.",
        functions: &["rbd_list_descendants", "rbd_trash_purge", "rbd_trash_purge_with_progress"],
    },
    Left {
        title: "Not asked for",
        reason: "Names of features are in `rbd-format`, options are only ever set, snapshots are removed by name and without a limit of \
                 their number.",
        functions: &[
            "rbd_features_from_string",
            "rbd_features_to_string",
            "rbd_image_options_clear",
            "rbd_image_options_get_*",
            "rbd_image_options_is_*",
            "rbd_image_options_unset",
            "rbd_snap_set_limit",
        ],
    },
];

impl Left {
    fn holds(&self, function: &str) -> bool {
        self.functions.iter().any(|pattern| fits(pattern, function))
    }
}

fn fits(pattern: &str, function: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => function.starts_with(beginning),
        None => pattern == function,
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names that follow `before` in a source file, without its comments.
fn names_after<'a>(source: &'a str, before: &'a str) -> impl Iterator<Item = String> + 'a {
    source.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(move |line| {
        line.match_indices(before).map(move |(at, _)| {
            let name = &line[at + before.len()..];
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            name[..end].to_owned()
        })
    })
}

/// Every name that the source files of a directory take from the bindings.
fn used_in(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).expect("list the sources") {
        let path = entry.expect("list the sources").path();
        if path.is_dir() {
            used_in(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(names_after(&read(&path), "sys::"));
        }
    }
}

fn write_list(text: &mut String, functions: &[&String]) {
    for function in functions {
        writeln!(text, "- `{function}`").expect("write to a string");
    }
}

#[test]
fn every_function_of_librbd_is_wrapped_or_left_for_a_reason() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bindings = read(&here.join("../ceph-sys/src/bindings.rs"));
    let all: BTreeSet<String> = names_after(&bindings, "pub fn ").filter(|name| name.starts_with("rbd_")).collect();
    let mut used = BTreeSet::new();
    used_in(&here.join("src"), &mut used);
    let wrapped: Vec<&String> = all.intersection(&used).collect();
    let left: Vec<&String> = all.difference(&used).collect();

    let undecided: Vec<_> = left.iter().filter(|name| !LEFT.iter().any(|group| group.holds(name))).collect();
    assert!(undecided.is_empty(), "neither wrapped nor left for a reason (see `LEFT`): {undecided:?}");
    for group in LEFT {
        for pattern in group.functions {
            let known = left.iter().any(|name| fits(pattern, name));
            assert!(known, "`{pattern}` is given a reason under {:?}, but is wrapped or not in librbd", group.title);
        }
    }

    let mut text = format!(
        "<!-- Made from the code by `make reference`. Do not edit. -->\n# Functions of librbd\n\n\
         Of the {} functions that librbd exports on Ceph 16.2.15, the crate `ceph` wraps {} and leaves {}.\n\n\
         ## Wrapped ({})\n\n",
        all.len(),
        wrapped.len(),
        left.len(),
        wrapped.len(),
    );
    write_list(&mut text, &wrapped);
    let mut rest = left;
    for group in LEFT {
        let (held, others): (Vec<&String>, Vec<&String>) = rest.into_iter().partition(|name| group.holds(name));
        rest = others;
        write!(text, "\n## Left: {} ({})\n\n{}\n\n", group.title, held.len(), group.reason).expect("write to a string");
        write_list(&mut text, &held);
    }

    let file = here.join("../..").join(PAGE);
    if std::env::var_os(WRITE_VARIABLE).is_some() {
        std::fs::write(&file, &text).expect("write the page");
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    let stale = text.lines().zip(found.lines()).find(|(made, checked_in)| made != checked_in);
    assert!(
        found == text,
        "{PAGE} is stale: run `make reference` (or this test with {WRITE_VARIABLE}=1) and read the difference. First: \
         {stale:?} (the code's, the checked-in one)",
    );
}
