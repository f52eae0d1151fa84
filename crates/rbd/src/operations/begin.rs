//! Beginning an operation.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::Timestamp;
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;
use rbd_model::operation::{Operation, OperationState, Progress, Work};
use tokio::sync::oneshot;

use super::drive::OperationRunner;
use super::record::Record;
use super::replica::{Operations, RECORD_TIME, Running};
use super::store::{RecordStore, StoredRecord};

/// Who asks for an operation.
#[derive(Debug, Clone)]
pub struct OperationRequest {
    /// The caller's name.
    pub requested_by: String,
    /// The request's id.
    pub request_id: String,
    /// Until when writing the record may take.
    pub deadline: Instant,
}

/// Work that a request does itself, under a record. Dropped without a word, the operation has failed.
pub struct RequestOperation {
    end: Option<oneshot::Sender<Result<(), Fault>>>,
    running: Arc<Running>,
}

impl RequestOperation {
    /// Says how far it is.
    pub fn progress(&self, done: u64, total: u64) {
        self.running.signals.note_progress(done, total);
    }

    /// Says that it ended well, and waits until that is written.
    pub async fn succeed(mut self) {
        let mut finished = self.running.finished.subscribe();
        if let Some(end) = self.end.take() {
            let _ = end.send(Ok(()));
        }
        let _ = tokio::time::timeout(RECORD_TIME, finished.wait_for(|finished| *finished)).await;
    }

    /// Says why it failed. That is written when Ceph answers.
    pub fn fail(mut self, fault: Fault) {
        if let Some(end) = self.end.take() {
            let _ = end.send(Err(fault));
        }
    }
}

impl Operations {
    /// Begins an operation. When the image has an unfinished one of the same kind, that one is given instead.
    ///
    /// # Errors
    /// `conflict` when the image has an unfinished operation of another kind; `busy`; what Ceph gives.
    pub async fn begin(
        self: &Arc<Self>,
        request: OperationRequest,
        place: &Place,
        work: Work,
    ) -> Result<Operation, Fault> {
        let (stored, known) = self.add(request, place, work).await?;
        let operation = stored.record.operation.clone();
        if !known && !stored.record.owner.is_empty() {
            self.drive(stored, OperationRunner::Thread);
        }
        Ok(operation)
    }

    /// Begins work that the request does itself.
    ///
    /// # Errors
    /// As [`Operations::begin`].
    pub async fn begin_in_request(
        self: &Arc<Self>,
        request: OperationRequest,
        place: &Place,
        image: &str,
    ) -> Result<RequestOperation, Fault> {
        let (mut stored, _) = self.add(request, place, Work::Import { image: image.to_owned() }).await?;
        stored.record.owner.clone_from(&self.owner);
        let (end, ended) = oneshot::channel();
        let running = self.drive(stored, OperationRunner::Request(ended));
        Ok(RequestOperation { end: Some(end), running })
    }

    async fn add(
        self: &Arc<Self>,
        request: OperationRequest,
        place: &Place,
        work: Work,
    ) -> Result<(StoredRecord, bool), Fault> {
        // A replica that ends leaves it to the others, or to its successor.
        let handing_over = self.handing_over.load(Ordering::Relaxed) && work.filled_image().is_none();
        let owner = if handing_over { String::new() } else { self.owner.clone() };
        let deadline = request.deadline;
        let place = place.clone();
        self.records(&place.pool.clone(), deadline, move |io| {
            let (store, contents) = RecordStore::for_place(io, &place.namespace, deadline)?;
            let known = contents.records;
            let elsewhere = store.records_elsewhere(&place.namespace, deadline)?;
            let same_place = |stored: &&StoredRecord| stored.record.operation.place == place;
            let unfinished = known
                .iter()
                .chain(&elsewhere)
                .filter(|stored| !stored.record.operation.state.is_finished())
                .filter(same_place);
            for stored in unfinished {
                let other = &stored.record.operation;
                if other.work == work && !matches!(work, Work::Import { .. }) {
                    return Ok((stored.clone(), true));
                }
                let same_image = work.image_id().is_some() && other.work.image_id() == work.image_id();
                if same_image || (work.filled_image().is_some() && other.work.filled_image() == work.filled_image()) {
                    return Err(Fault::new(
                        Kind::Conflict,
                        format!("Operation {} works on the image already.", other.id),
                    )
                    .correction("Wait for it, or cancel it with DELETE.")
                    .with("operation", other.id.clone()));
                }
            }
            let now = Timestamp::now();
            let operation = Operation {
                id: store.new_id().to_string(),
                cancellable: work.is_cancellable(),
                work,
                place,
                state: OperationState::Queued,
                progress: Progress::default(),
                waiting_for: None,
                cancel_requested: false,
                requested_by: request.requested_by,
                request_id: request.request_id,
                created_at: now,
                updated_at: now,
                finished_at: None,
                resumed: 0,
                problem: None,
            };
            let stored = store.add(&Record { operation, owner, beat: 0, deaths: 0 }, &known)?;
            Ok((stored, false))
        })
        .await
    }
}
