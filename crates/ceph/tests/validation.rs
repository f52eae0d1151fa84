//! Whether a pool may hold images is looked at once, and never skipped for one that was not looked at.

mod support;

use std::sync::atomic::{AtomicU32, Ordering};

use ceph::{Cluster, Errno, ImageSpec, IoContext, Settings};
use support::size;
use testbed::ceph::Ceph;

fn connected(ceph: &Ceph) -> Cluster {
    let settings = Settings { validate_once: true, ..support::settings(ceph) };
    support::connect(&settings)
}

/// A pool that has a snapshot of itself, which excludes snapshots of images.
fn snapped(ceph: &Ceph, cluster: &Cluster) -> IoContext {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("snapped-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    ceph.ceph(&["osd", "pool", "create", &name, "1"]).expect("a pool");
    ceph.ceph(&["osd", "pool", "application", "enable", &name, "rbd"]).expect("for images");
    ceph.ceph(&["osd", "pool", "mksnap", &name, "s"]).expect("a snapshot");
    cluster.refresh().expect("the newest map");
    cluster.io_context(&name, "").expect("a context")
}

#[test]
fn each_pool_is_validated_before_its_first_image() {
    let ceph = Ceph::shared().expect("a cluster");
    let cluster = connected(ceph);
    let spec = ImageSpec::default();
    let good = support::pool(ceph, &cluster);
    for name in ["one", "two"] {
        good.create_image(name, size(1 << 20), &spec).expect("an image");
        assert_eq!(ceph.rados(&["-p", good.pool(), "get", "rbd_info", "-"]).expect("a note"), "overwrite validated");
    }
    let bad = snapped(ceph, &cluster);
    for _ in 0..2 {
        let rejected = bad.create_image("i", size(1 << 20), &spec);
        assert!(rejected.as_ref().is_err_and(|error| error.is(Errno::EINVAL)), "{rejected:?}");
    }
    assert_eq!(bad.list_images().expect("a list"), []);
    // As the pool for the data of an image in another.
    let data = ImageSpec { data_pool: Some(bad.pool().to_owned()), ..ImageSpec::default() };
    let rejected = good.create_image("three", size(1 << 20), &data);
    assert!(rejected.as_ref().is_err_and(|error| error.is(Errno::EINVAL)), "{rejected:?}");
}

#[test]
fn validation_is_skipped_where_the_configuration_says_so() {
    let ceph = Ceph::shared().expect("a cluster");
    let options = vec![("rbd_validate_pool".to_owned(), "false".to_owned())];
    let settings = Settings { validate_once: true, options, ..support::settings(ceph) };
    let cluster = support::connect(&settings);
    let bad = snapped(ceph, &cluster);
    bad.create_image("i", size(1 << 20), &ImageSpec::default())
        .expect("an image, as librbd makes it when told not to look");
}
