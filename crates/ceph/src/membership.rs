//! The membership of an image in a group, as the image has it.

use std::ptr;

use ceph_sys as sys;
use rbd_format::header::header_object;

use crate::error::Result;
use crate::ioctx::IoContext;
use crate::text::c_string;

impl IoContext {
    /// Has an image forget that it is in a group, which librbd does only together with the group: for one whose pool is gone. The
    /// class `rbd` does it in one step with what the image's features say of it.
    ///
    /// # Errors
    /// `EBADF` when it is in another group; `ENOENT` when there is no such image.
    pub fn forget_group(&self, image_id: &str, pool_id: i64, group_id: &str) -> Result<()> {
        let object = header_object(image_id);
        let c_object = c_string(&object)?;
        let input = group_spec(pool_id, group_id);
        // SAFETY: context, names and input are alive; no output is asked for.
        let r = unsafe {
            sys::rados_exec(
                self.raw(),
                c_object.as_ptr(),
                c"rbd".as_ptr(),
                c"image_group_remove".as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                ptr::null_mut(),
                0,
            )
        };
        self.check("image_group_remove", &object, r).map(drop)
    }
}

/// `cls::rbd::GroupSpec` (`src/cls/rbd/cls_rbd_types.cc`): version 1 for readers of 1, its length, the pool, the group.
fn group_spec(pool_id: i64, group_id: &str) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let id = [&length(group_id.len())[..], group_id.as_bytes()].concat();
    [&[1, 1][..], &length(size_of::<i64>() + id.len()), &pool_id.to_le_bytes(), &id].concat()
}
