//! libumockdev-1.0 by its C interface (umockdev.h), as far as it is used here. The only module with `unsafe`.
#![allow(unsafe_code)]

use crate::MockError;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr::{self, NonNull};

/// UMockdevTestbed.
#[repr(C)]
struct RawTestbed {
    _opaque: [u8; 0],
}

/// GError.
#[repr(C)]
struct RawError {
    domain: u32,
    code: c_int,
    message: *mut c_char,
}

#[link(name = "umockdev")]
unsafe extern "C" {
    fn umockdev_testbed_new() -> *mut RawTestbed;
    fn umockdev_testbed_add_from_string(
        testbed: *mut RawTestbed,
        data: *const c_char,
        error: *mut *mut RawError,
    ) -> c_int;
    fn umockdev_testbed_remove_device(testbed: *mut RawTestbed, syspath: *const c_char);
    fn umockdev_testbed_uevent(testbed: *mut RawTestbed, syspath: *const c_char, action: *const c_char);
    fn umockdev_testbed_load_ioctl(
        testbed: *mut RawTestbed,
        node: *const c_char,
        recording: *const c_char,
        error: *mut *mut RawError,
    ) -> c_int;
    fn umockdev_testbed_get_dev_fd(testbed: *mut RawTestbed, node: *const c_char) -> c_int;
    fn umockdev_testbed_get_root_dir(testbed: *mut RawTestbed) -> *mut c_char;
}

#[link(name = "gobject-2.0")]
unsafe extern "C" {
    fn g_object_unref(object: *mut c_void);
}

#[link(name = "glib-2.0")]
unsafe extern "C" {
    fn g_error_free(error: *mut RawError);
    fn g_free(memory: *mut c_void);
}

/// A testbed; its files are deleted when it is dropped.
pub(crate) struct Testbed(NonNull<RawTestbed>);

// SAFETY: a UMockdevTestbed is tied to no thread: it is plain memory behind a pointer, and `Testbed` is neither `Sync` nor
// `Clone`, so one thread uses it at a time.
unsafe impl Send for Testbed {}

impl Testbed {
    pub(crate) fn new() -> Result<Self, MockError> {
        // SAFETY: takes nothing; the result is null or ours to unref.
        NonNull::new(unsafe { umockdev_testbed_new() }).map(Self).ok_or(MockError::Testbed)
    }

    /// Adds devices in umockdev's text format.
    pub(crate) fn add(&mut self, devices: &str) -> Result<(), MockError> {
        let devices = c_string(devices)?;
        let mut error = ptr::null_mut();
        // SAFETY: the testbed lives, the text ends with NUL and outlives the call, `error` is a place for one GError.
        let added =
            unsafe { umockdev_testbed_add_from_string(self.0.as_ptr(), devices.as_ptr(), &mut error) };
        check(added, error)
    }

    /// Removes a device from sysfs and /dev. Sends no event.
    pub(crate) fn remove(&mut self, syspath: &str) -> Result<(), MockError> {
        let syspath = c_string(syspath)?;
        // SAFETY: the testbed lives, the text ends with NUL and outlives the call.
        unsafe { umockdev_testbed_remove_device(self.0.as_ptr(), syspath.as_ptr()) };
        Ok(())
    }

    /// Sends a uevent.
    pub(crate) fn uevent(&mut self, syspath: &str, action: &str) -> Result<(), MockError> {
        let (syspath, action) = (c_string(syspath)?, c_string(action)?);
        // SAFETY: the testbed lives, the texts end with NUL and outlive the call.
        unsafe { umockdev_testbed_uevent(self.0.as_ptr(), syspath.as_ptr(), action.as_ptr()) };
        Ok(())
    }

    /// Has the ioctls on `node` answered from a recording.
    pub(crate) fn load_ioctl(&mut self, node: &str, recording: &Path) -> Result<(), MockError> {
        let (node, recording) = (c_string(node)?, c_string(&recording.to_string_lossy())?);
        let mut error = ptr::null_mut();
        // SAFETY: the testbed lives, the texts end with NUL and outlive the call, `error` is a place for one GError.
        let loaded = unsafe {
            umockdev_testbed_load_ioctl(self.0.as_ptr(), node.as_ptr(), recording.as_ptr(), &mut error)
        };
        check(loaded, error)
    }

    /// A descriptor of one's own for the far end of the pty that is `node`.
    pub(crate) fn far_end(&mut self, node: &str) -> Result<OwnedFd, MockError> {
        let c_node = c_string(node)?;
        // SAFETY: the testbed lives, the text ends with NUL and outlives the call.
        let fd = unsafe { umockdev_testbed_get_dev_fd(self.0.as_ptr(), c_node.as_ptr()) };
        if fd < 0 {
            return Err(MockError::NoNode(node.to_owned()));
        }
        // SAFETY: the testbed keeps this descriptor open as long as the node is there, so it is open here and now; the
        // borrow ends with the duplication.
        let far_end = unsafe { BorrowedFd::borrow_raw(fd) };
        far_end.try_clone_to_owned().map_err(|error| MockError::Io(error.to_string()))
    }

    /// Hangs `node` up: libumockdev keeps the far end of the pty open for as long as the testbed lives, so it is replaced.
    pub(crate) fn hang_up(&mut self, node: &str) -> Result<(), MockError> {
        let io = |error: std::io::Error| MockError::Io(error.to_string());
        let nothing = std::fs::File::open("/dev/null").map_err(io)?;
        let c_node = c_string(node)?;
        // SAFETY: the testbed lives, the text ends with NUL and outlives the call.
        let fd = unsafe { umockdev_testbed_get_dev_fd(self.0.as_ptr(), c_node.as_ptr()) };
        if fd < 0 {
            return Err(MockError::NoNode(node.to_owned()));
        }
        // SAFETY: the testbed keeps this descriptor open and closes it when it is dropped; it is not closed here.
        let mut far_end = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(fd) });
        rustix::io::dup2(&nothing, &mut far_end).map_err(|error| io(error.into()))
    }

    /// The folder that stands for the root of the file system.
    pub(crate) fn root(&mut self) -> Result<String, MockError> {
        // SAFETY: the testbed lives; the result is null or a text that ends with NUL and is ours to free.
        let root = unsafe { umockdev_testbed_get_root_dir(self.0.as_ptr()) };
        if root.is_null() {
            return Err(MockError::Testbed);
        }
        // SAFETY: not null, ends with NUL, read before it is freed.
        let owned = unsafe { CStr::from_ptr(root) }.to_string_lossy().into_owned();
        // SAFETY: ours to free, once, and not used afterwards.
        unsafe { g_free(root.cast()) };
        Ok(owned)
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        // SAFETY: the one reference that `new` got, given back once.
        unsafe { g_object_unref(self.0.as_ptr().cast()) };
    }
}

fn c_string(text: &str) -> Result<CString, MockError> {
    CString::new(text).map_err(|_| MockError::Io("a text with NUL in it".to_owned()))
}

fn check(done: c_int, error: *mut RawError) -> Result<(), MockError> {
    if error.is_null() {
        return if done != 0 { Ok(()) } else { Err(MockError::Testbed) };
    }
    // SAFETY: a GError that the library has just set has a message that ends with NUL.
    let message = unsafe { CStr::from_ptr((*error).message) }.to_string_lossy().into_owned();
    // SAFETY: ours to free, once, and not used afterwards.
    unsafe { g_error_free(error) };
    Err(MockError::Refused(message))
}
