//! Reads of omaps with hundreds in flight, guarded writes to them, and an image's bytes: what is on its way may be
//! dropped, run out of time, or meet the end of the image.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ceph::{Access, Entry, Errno, Error, Image, ImageRef, ImageSpec, IoContext, OmapChange, OmapRange};
use support::{size, wait};
use testbed::ceph::{Ceph, CephOptions, Daemon};
use testbed::daemon::Daemons as _;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn whole(object: impl Into<String>) -> OmapRange {
    OmapRange { object: object.into(), ..OmapRange::default() }
}

/// One entry for each of 1,000 objects, written by four threads.
fn write_objects(io: &IoContext) {
    std::thread::scope(|scope| {
        for lane in 0..4 {
            scope.spawn(move || {
                for number in (lane..1000).step_by(4) {
                    let set = vec![(b"key".to_vec(), format!("value {number}").into_bytes())];
                    io.omap_change(&format!("o{number}"), &OmapChange { set, ..OmapChange::default() })
                        .expect("written");
                }
            });
        }
    });
}

#[test]
fn thousand_omaps_are_read_with_hundreds_in_flight() {
    let io = support::shared_pool();
    write_objects(&io);
    let long: Vec<Entry> = (0..2500_u32).map(|n| (format!("k{n:05}").into_bytes(), n.to_le_bytes().to_vec())).collect();
    for set in long.chunks(1000) {
        io.omap_change("long", &OmapChange { set: set.to_vec(), ..OmapChange::default() }).expect("written");
    }
    // After a key with a NUL byte librados cannot be told to go on.
    let nul: Vec<Entry> = (0..1500_u16).map(|n| ([b"\0", &n.to_be_bytes()[..]].concat(), Vec::new())).collect();
    io.omap_change("nul", &OmapChange { set: nul, ..OmapChange::default() }).expect("written");

    let mut ranges: Vec<OmapRange> = (0..1000).map(|number| whole(format!("o{number}"))).collect();
    ranges.extend([whole("long"), whole("missing"), whole("nul")]);
    ranges.push(OmapRange { prefix: "k0001".into(), ..whole("long") });
    ranges.push(OmapRange { after: b"k02489".to_vec(), limit: 3, ..whole("long") });
    let mut answers = BTreeMap::new();
    io.omaps(&ranges, 256, Some(soon()), |index, entries| {
        assert!(answers.insert(index, entries).is_none(), "{index} came twice");
    })
    .expect("all in time");
    assert_eq!(answers.len(), ranges.len());
    for number in 0..1000 {
        let expected = vec![(b"key".to_vec(), format!("value {number}").into_bytes())];
        assert_eq!(answers[&number], Ok(expected));
    }
    assert_eq!(answers[&1000], Ok(long.clone()), "page after page, in order");
    assert_eq!(answers[&1001], Err(Errno::ENOENT));
    assert_eq!(answers[&1002], Err(Errno::EILSEQ));
    assert_eq!(answers[&1003], Ok(long[10..20].to_vec()));
    assert_eq!(answers[&1004], Ok(long[2490..].to_vec()), "several pages of three");
    assert_eq!(io.omap_all("long", "", Some(soon())).expect("all"), long);
    let page = io.omap_page(&whole("long"), Some(soon())).expect("a page");
    assert!(page.more);
    assert_eq!(page.entries, long[..1024]);
    // A panic in the callback leaves nothing behind that a later read would meet.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        io.omaps(&ranges, 256, Some(soon()), |index, _| assert!(index < 100, "far enough"))
    }));
    assert!(panicked.is_err());
    assert_eq!(io.omap_all("long", "", Some(soon())).expect("all"), long);
}

#[test]
fn frozen_osd_costs_no_more_than_the_deadline() {
    let ceph = Ceph::start(CephOptions::default()).expect("a cluster");
    let cluster = support::connected(&ceph);
    let io = support::pool(&ceph, &cluster);
    write_objects(&io);
    let ranges: Vec<OmapRange> = (0..1000).map(|number| whole(format!("o{number}"))).collect();
    let frozen = ceph.frozen(Daemon::Osd).expect("frozen");
    for _ in 0..2 {
        let begun = Instant::now();
        let deadline = Some(begun + Duration::from_millis(500));
        let result = io.omaps(&ranges, 300, deadline, |_, entries| drop(entries.expect("cancelled ones are not told")));
        assert!(matches!(result, Err(Error::Deadline { .. })), "{result:?}");
        assert!(begun.elapsed() >= Duration::from_millis(500));
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
    let result = io.omap_page(&ranges[0], Some(Instant::now() + Duration::from_millis(200)));
    assert!(result.is_err_and(|error| error.is(Errno::ETIMEDOUT)));
    drop(frozen);
    // Late answers go nowhere; new reads are answered, all of them.
    let mut answered = 0;
    io.omaps(&ranges, 300, Some(soon()), |_, entries| answered += entries.expect("entries").len())
        .expect("all in time");
    assert_eq!(answered, 1000);

    // The last handles may be dropped while reads are on their way.
    let frozen = ceph.frozen(Daemon::Osd).expect("frozen");
    let begun = Instant::now();
    let result = io.omaps(&ranges, 300, Some(begun + Duration::from_millis(200)), |_, _| {});
    assert!(result.is_err());
    drop((io, cluster));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    drop(frozen);
    support::connected(&ceph).fsid().expect("an answer");
}

#[test]
fn compare_and_set_loses_no_update() {
    const TIMES: u32 = 150;
    let io = support::shared_pool();
    let counted = || -> u32 {
        let value = match io.omap_all("counter", "n", Some(soon())) {
            Err(error) if error.is(Errno::ENOENT) => Vec::new(),
            entries => entries.expect("entries").pop().map(|(_, value)| value).unwrap_or_default(),
        };
        value.try_into().map_or(0, u32::from_le_bytes)
    };
    let rejected: u32 = std::thread::scope(|scope| {
        let increment = || {
            let (mut done, mut rejected) = (0, 0);
            while done < TIMES {
                let now = counted();
                let old = if now == 0 { Vec::new() } else { now.to_le_bytes().to_vec() };
                let change = OmapChange {
                    guards: vec![(b"n".to_vec(), old)],
                    set: vec![(b"n".to_vec(), (now + 1).to_le_bytes().to_vec())],
                    remove: Vec::new(),
                };
                match io.omap_change("counter", &change) {
                    Ok(()) => done += 1,
                    Err(error) if error.is(Errno::ECANCELED) => rejected += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            rejected
        };
        let lanes = [scope.spawn(increment), scope.spawn(increment)];
        lanes.into_iter().map(|lane| lane.join().expect("a lane")).sum()
    });
    assert_eq!(counted(), 2 * TIMES);
    assert!(rejected > 0, "the two never met");

    // A change whose guard fails changes nothing, whatever else it asks for.
    let change = OmapChange {
        guards: vec![(b"n".to_vec(), b"other".to_vec())],
        set: vec![(b"new".to_vec(), b"x".to_vec())],
        remove: vec![b"n".to_vec()],
    };
    assert!(io.omap_change("counter", &change).is_err_and(|error| error.is(Errno::ECANCELED)));
    assert_eq!(io.omap_all("counter", "", Some(soon())).expect("entries").len(), 1);
    let change = OmapChange { guards: Vec::new(), ..change };
    io.omap_change("counter", &change).expect("changed");
    assert_eq!(io.omap_all("counter", "", Some(soon())).expect("entries"), [(b"new".to_vec(), b"x".to_vec())]);
}

const SIZE: u64 = (3 << 20) + 100;

fn image(io: &IoContext) -> Image {
    io.create_image("i", size(SIZE), &ImageSpec { order: Some(20), ..ImageSpec::default() }).expect("an image");
    io.open_image(ImageRef::Name("i"), None, Access::ReadWrite).expect("open")
}

fn bytes_at(image: &Image, offset: u64, length: usize) -> Vec<u8> {
    wait(image.read(offset, length).expect("a read")).expect("bytes")
}

#[test]
fn bytes_are_written_read_and_discarded() {
    let io = support::shared_pool();
    let image = image(&io);
    let written: Vec<u8> = (0..2_u32 << 20).map(|n| (n % 251) as u8).collect();
    wait(image.write(1000, written.clone()).expect("a write")).expect("written");
    // An array is moved with its bytes, a static has none to move.
    wait(image.write(SIZE - 4, *b"last").expect("a write")).expect("written");
    wait(image.write(0, &b"first"[..]).expect("a write")).expect("written");
    wait(image.flush().expect("a flush")).expect("flushed");
    assert_eq!(bytes_at(&image, 1000, 2 << 20), written);
    assert_eq!(bytes_at(&image, 0, 6), b"first\0");
    // The end of the image.
    assert_eq!(bytes_at(&image, SIZE - 4, 1 << 20), b"last");
    assert_eq!(bytes_at(&image, SIZE - 100, 100).len(), 100);
    assert_eq!(bytes_at(&image, 0, 0), b"");
    for beyond in [SIZE, SIZE + 1] {
        let read = wait(image.read(beyond, 10).expect("a read"));
        assert!(read.as_ref().is_err_and(|error| error.is(Errno::EINVAL)), "{beyond}: {read:?}");
        let write = wait(image.write(beyond, vec![1; 10]).expect("a write"));
        assert!(write.is_err_and(|error| error.is(Errno::EINVAL)), "{beyond}");
    }
    wait(image.discard(1 << 20, 1 << 20).expect("a discard")).expect("discarded");
    assert_eq!(bytes_at(&image, 1 << 20, 1 << 20), vec![0; 1 << 20]);
    wait(image.write_zeroes(1000, 500).expect("zeros")).expect("written");
    assert_eq!(bytes_at(&image, 1000, 500), vec![0; 500]);
    assert_eq!(bytes_at(&image, 1500, 100), written[500..600]);
    image.close().expect("closed");
    let image = io.open_image(ImageRef::Name("i"), None, Access::ReadOnly).expect("open");
    assert_eq!(bytes_at(&image, 1500, 100), written[500..600]);
    let rejected = image.write(0, vec![1; 10]).map(wait);
    assert!(matches!(rejected, Ok(Err(ref error)) | Err(ref error) if error.is(Errno::EROFS)), "{rejected:?}");
}

#[test]
fn dropped_pending_call_still_ends() {
    let io = support::shared_pool();
    let image = image(&io);
    for number in 0..48_u8 {
        drop(image.write(u64::from(number) << 16, vec![number + 1; 1 << 16]).expect("a write"));
    }
    for number in 0..48_u64 {
        drop(image.read(number << 16, 1 << 16).expect("a read"));
    }
    wait(image.flush().expect("a flush")).expect("flushed");
    for number in 0..48_u8 {
        assert_eq!(bytes_at(&image, u64::from(number) << 16, 1 << 16), vec![number + 1; 1 << 16]);
    }
    // Closing waits for what is on its way; the futures outlive the image.
    let reads: Vec<_> = (0..48).map(|number| image.read(number << 16, 1 << 16).expect("a read")).collect();
    let write = image.write(0, vec![99; 1 << 16]).expect("a write");
    image.close().expect("closed");
    wait(write).expect("written");
    for read in reads.into_iter().skip(1) {
        assert_eq!(wait(read).expect("bytes").len(), 1 << 16);
    }
    let image = io.open_image(ImageRef::Name("i"), None, Access::ReadOnly).expect("open");
    assert_eq!(bytes_at(&image, 0, 1 << 16), vec![99; 1 << 16]);
}
