//! A safe interface to MPI: the only module that calls it.
//!
//! One communicator, two ranks, messages of bytes. Only [`World::begin`] blocks. MPI is never
//! finalised: `MPI_Finalize` waits for the other rank, which may be gone. The process just exits,
//! and the launcher ends the other rank.

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use mpi_sys as ffi;

/// All messages have this tag.
const TAG: c_int = 0;

/// The ranks of this process's job. A process has at most one `World`, on one thread.
pub(crate) struct World {
    rank: c_int,
    /// MPI was initialised for one thread.
    on_one_thread: PhantomData<*const ()>,
}

impl World {
    /// Initialises MPI, and waits for the other rank to do so.
    ///
    /// # Errors
    /// If MPI was initialised before, cannot be initialised, or the job does not have two ranks.
    pub(crate) fn begin() -> io::Result<World> {
        let mut is_initialized = 0;
        // SAFETY: may be called at any time; writes one number.
        check(unsafe { ffi::MPI_Initialized(&mut is_initialized) })?;
        if is_initialized != 0 {
            return Err(io::Error::other(
                "MPI is initialised in this process already",
            ));
        }
        // SAFETY: the first call in this process, as just checked, on the thread that will make all
        // others (`World` stays on it). MPI does not need the arguments of `main`.
        check(unsafe { ffi::MPI_Init(ptr::null_mut(), ptr::null_mut()) })?;

        let (mut rank, mut n_ranks) = (0, 0);
        // SAFETY: MPI is initialised; both write one number.
        unsafe {
            check(ffi::MPI_Comm_set_errhandler(
                ffi::RSMPI_COMM_WORLD,
                ffi::RSMPI_ERRORS_RETURN,
            ))?;
            check(ffi::MPI_Comm_rank(ffi::RSMPI_COMM_WORLD, &mut rank))?;
            check(ffi::MPI_Comm_size(ffi::RSMPI_COMM_WORLD, &mut n_ranks))?;
        }
        if n_ranks != 2 {
            return Err(io::Error::other(format!(
                "the job has {n_ranks} ranks, and must have two; was this program built for the MPI \
                 of the mpirun that starts it?"
            )));
        }
        Ok(World {
            rank,
            on_one_thread: PhantomData,
        })
    }

    /// 0 or 1.
    pub(crate) fn rank(&self) -> c_int {
        self.rank
    }

    fn peer(&self) -> c_int {
        1 - self.rank
    }

    /// Starts to send a message to the other rank.
    pub(crate) fn send(&self, message: Vec<u8>) -> io::Result<Transfer> {
        let mut transfer = Transfer::of(message);
        let n_bytes = transfer.count()?;
        // SAFETY: MPI is initialised. The transfer keeps the buffer in place and unchanged until
        // the request is complete, or forever.
        check(unsafe {
            ffi::MPI_Isend(
                transfer.buffer.as_ptr().cast(),
                n_bytes,
                ffi::RSMPI_UINT8_T,
                self.peer(),
                TAG,
                ffi::RSMPI_COMM_WORLD,
                &mut transfer.request,
            )
        })?;
        Ok(transfer)
    }

    /// Starts to receive the next message, if there is one.
    ///
    /// Open MPI reads from the network only after it has found no message, and says then that there
    /// is none: the second question finds what the first has read.
    pub(crate) fn receive(&self) -> io::Result<Option<Transfer>> {
        match self.receive_known()? {
            Some(transfer) => Ok(Some(transfer)),
            None => self.receive_known(),
        }
    }

    /// Starts to receive the next message that MPI knows of.
    fn receive_known(&self) -> io::Result<Option<Transfer>> {
        let mut is_there = 0;
        let mut status = MaybeUninit::<ffi::MPI_Status>::uninit();
        // SAFETY: reading a constant of MPI's.
        let mut message = unsafe { ffi::RSMPI_MESSAGE_NULL };
        // SAFETY: MPI is initialised; writes to all three.
        check(unsafe {
            ffi::MPI_Improbe(
                self.peer(),
                TAG,
                ffi::RSMPI_COMM_WORLD,
                &mut is_there,
                &mut message,
                status.as_mut_ptr(),
            )
        })?;
        if is_there == 0 {
            return Ok(None);
        }
        let mut n_bytes = 0;
        // SAFETY: there is a message, so the status was written.
        check(unsafe { ffi::MPI_Get_count(status.as_ptr(), ffi::RSMPI_UINT8_T, &mut n_bytes) })?;
        let n_bytes = usize::try_from(n_bytes).map_err(io::Error::other)?;
        let mut transfer = Transfer::of(vec![0; n_bytes]);
        let n_bytes = transfer.count()?;
        // SAFETY: the message was found above and is received once. The transfer keeps the buffer,
        // which has room for it, in place, and no code accesses it until the request is complete.
        check(unsafe {
            ffi::MPI_Imrecv(
                transfer.buffer.as_mut_ptr().cast(),
                n_bytes,
                ffi::RSMPI_UINT8_T,
                &mut message,
                &mut transfer.request,
            )
        })?;
        Ok(Some(transfer))
    }
}

/// A message in transfer, and the memory that MPI reads or writes in the meantime.
pub(crate) struct Transfer {
    buffer: Vec<u8>,
    /// Null before the start and after the end.
    request: ffi::MPI_Request,
}

impl Transfer {
    fn of(buffer: Vec<u8>) -> Transfer {
        Transfer {
            buffer,
            // SAFETY: reading a constant of MPI's.
            request: unsafe { ffi::RSMPI_REQUEST_NULL },
        }
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn count(&self) -> io::Result<c_int> {
        c_int::try_from(self.buffer.len()).map_err(io::Error::other)
    }

    /// Whether the message has arrived, or MPI no longer needs its memory; makes progress.
    pub(crate) fn is_done(&mut self) -> io::Result<bool> {
        let mut is_done = 0;
        // SAFETY: the request comes from MPI, or is null, which counts as done. MPI sets it to null
        // when it is done.
        check(unsafe { ffi::MPI_Test(&mut self.request, &mut is_done, ffi::RSMPI_STATUS_IGNORE) })?;
        Ok(is_done != 0)
    }

    /// The message.
    ///
    /// # Panics
    /// If [`is_done`](Self::is_done) has not returned true.
    pub(crate) fn into_message(mut self) -> Vec<u8> {
        assert!(self.is_at_rest(), "the message is on its way");
        std::mem::take(&mut self.buffer)
    }

    fn is_at_rest(&self) -> bool {
        // SAFETY: reading a constant of MPI's.
        self.request == unsafe { ffi::RSMPI_REQUEST_NULL }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if !self.is_at_rest() {
            // MPI still uses the memory, and cannot be stopped while the other rank may be gone.
            std::mem::forget(std::mem::take(&mut self.buffer));
        }
    }
}

/// The MPI library's name and version, in one line. MPI need not be initialised.
pub(crate) fn library_version() -> io::Result<String> {
    // SAFETY: reading a constant of MPI's.
    let max_bytes = unsafe { ffi::RSMPI_MAX_LIBRARY_VERSION_STRING };
    let mut text = vec![0u8; usize::try_from(max_bytes).map_err(io::Error::other)? + 1];
    let mut n_bytes = 0;
    // SAFETY: may be called at any time; the buffer has the length that MPI's constant requires.
    check(unsafe {
        ffi::MPI_Get_library_version(text.as_mut_ptr().cast::<c_char>(), &mut n_bytes)
    })?;
    Ok(text_of(&text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" "))
}

/// Turns an MPI error code into an error.
fn check(code: c_int) -> io::Result<()> {
    if code == 0 {
        return Ok(());
    }
    // MPI_MAX_ERROR_STRING is 256 in Open MPI, 512 or 1024 elsewhere.
    let mut text = [0u8; 4096];
    let mut n_bytes = 0;
    // SAFETY: the buffer is longer than any of MPI's messages.
    unsafe { ffi::MPI_Error_string(code, text.as_mut_ptr().cast::<c_char>(), &mut n_bytes) };
    Err(io::Error::other(format!("MPI: {}", text_of(&text))))
}

/// The text before the first zero.
fn text_of(bytes: &[u8]) -> String {
    let text = CStr::from_bytes_until_nul(bytes).unwrap_or_default();
    text.to_string_lossy().into_owned()
}

unsafe extern "C" {
    /// _exit(2).
    fn _exit(code: i32) -> !;
}

/// Ends the process at once, without running exit handlers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: the call takes a number, and does not return.
    unsafe { _exit(code) }
}
