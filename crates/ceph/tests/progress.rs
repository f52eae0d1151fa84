//! Callbacks from librbd: they cancel what can be cancelled, and a panic in one comes out of the call that it was given
//! to, never through librbd.

mod support;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use ceph::{Access, Errno, Extent, Image, ImageRef, ImageSpec, IoContext, ignore_progress};
use support::{size, wait};

const OBJECTS: u64 = 256;

/// An image of small objects without an object map, so that removing goes through each of them.
fn image(io: &IoContext) -> Image {
    let spec = ImageSpec { features: Some(1), order: Some(12), ..ImageSpec::default() };
    io.create_image("i", size(OBJECTS << 12), &spec).expect("an image");
    io.open_image(ImageRef::Name("i"), None, Access::ReadWrite).expect("open")
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().unwrap_or("not a string")
}

/// Nothing of the image is left: neither name, nor trash, nor objects.
fn gone(io: &IoContext) {
    assert_eq!(io.list_images().expect("a list"), []);
    assert_eq!(io.trash_list().expect("a list"), []);
    let opened = io.open_image(ImageRef::Name("i"), None, Access::ReadOnly);
    assert!(opened.is_err_and(|error| error.is(Errno::ENOENT)));
}

#[test]
fn cancelled_removal_can_be_finished() {
    let io = support::shared_pool();
    drop(image(&io));
    let told = AtomicU64::new(0);
    let cancelled = io.remove_image("i", &|done, total| {
        assert!(done <= total);
        if told.fetch_add(1, Ordering::SeqCst) < 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(cancelled.as_ref().is_err_and(|error| error.is(Errno::ECANCELED)), "{cancelled:?}");
    assert!(told.load(Ordering::SeqCst) < OBJECTS, "not to the end");
    io.remove_image("i", &ignore_progress).expect("removed");
    gone(&io);
}

#[test]
fn panic_cancels_a_removal_and_resumes() {
    let io = support::shared_pool();
    drop(image(&io));
    let panicked = catch_unwind(AssertUnwindSafe(|| io.remove_image("i", &|_, _| panic!("in the callback"))));
    assert_eq!(message(&*panicked.expect_err("a panic")), "in the callback");
    io.remove_image("i", &ignore_progress).expect("removed");
    gone(&io);
}

#[test]
fn cancelled_resize_can_be_repeated() {
    let io = support::shared_pool();
    let image = image(&io);
    let cancelled = image.resize(size(1 << 12), true, &|_, _| ControlFlow::Break(()));
    assert!(cancelled.as_ref().is_err_and(|error| error.is(Errno::ECANCELED)), "{cancelled:?}");
    image.resize(size(1 << 12), true, &ignore_progress).expect("smaller");
    assert_eq!(image.stat().expect("a stat").size_bytes, 1 << 12);
}

#[test]
fn panic_does_not_cut_a_rollback() {
    let io = support::shared_pool();
    let image = image(&io);
    let length = usize::try_from(OBJECTS << 12).expect("fits");
    wait(image.write(0, vec![1_u8; length]).expect("a write")).expect("written");
    image.create_snapshot("s").expect("a snapshot");
    wait(image.write(0, vec![2_u8; length]).expect("a write")).expect("written");
    let told = AtomicU64::new(0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        image.rollback("s", &|_, _| {
            told.fetch_add(1, Ordering::SeqCst);
            panic!("in the callback")
        })
    }));
    assert_eq!(message(&*panicked.expect_err("a panic")), "in the callback");
    assert_eq!(told.load(Ordering::SeqCst), 1, "a callback that has panicked is not called again");
    let bytes = wait(image.read(0, length).expect("a read")).expect("bytes");
    assert!(bytes.iter().all(|byte| *byte == 1), "a mix of both");
}

#[test]
fn extents_end_early_on_request_and_on_a_panic() {
    let io = support::shared_pool();
    let image = image(&io);
    for number in (0..OBJECTS).step_by(2) {
        wait(image.write(number << 12, vec![1_u8; 512]).expect("a write")).expect("written");
    }
    let size = OBJECTS << 12;
    let mut all = Vec::new();
    image
        .extents(None, 0, size, false, &mut |extent| {
            all.push(extent);
            ControlFlow::Continue(())
        })
        .expect("extents");
    let expected: Vec<_> =
        (0..OBJECTS).step_by(2).map(|number| Extent { offset: number << 12, length: 512, exists: true }).collect();
    assert_eq!(all, expected);

    let mut some = Vec::new();
    image
        .extents(None, 0, size, false, &mut |extent| {
            some.push(extent);
            if some.len() < 7 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .expect("ended early");
    assert_eq!(some, expected[..7]);

    let mut told = 0;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        image.extents(None, 0, size, false, &mut |_| {
            told += 1;
            assert!(told < 5, "in the callback");
            ControlFlow::Continue(())
        })
    }));
    assert_eq!(message(&*panicked.expect_err("a panic")), "in the callback");
    assert_eq!(told, 5);
    let missing = image.extents(Some("no-such"), 0, size, false, &mut |_| ControlFlow::Continue(()));
    assert!(missing.is_err_and(|error| error.is(Errno::ENOENT)));
}
