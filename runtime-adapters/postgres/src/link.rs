//! A kept connection that is made anew when it is lost.

use std::collections::HashMap;
use std::sync::Arc;

use futures::lock::Mutex;
use runtime_domain::time::Span;
use runtime_ports::{PortError, PortResult, Retry};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use crate::connection::{Dialler, Role, Session};
use crate::error::{During, is_answer_lost, no_answer, port_error};

/// Values to bind.
pub(crate) type Parameters<'p> = &'p [&'p (dyn ToSql + Sync)];

/// A connection in one role. Many calls may be under way on it at once; the server answers them one after the other.
#[derive(Debug)]
pub(crate) struct Link {
    dialler: Dialler,
    role: Role,
    /// How long an answer is waited for.
    patience: Span,
    live: Mutex<Option<Arc<Live>>>,
    /// The session that was given up last.
    discarded: Mutex<Option<Session>>,
}

/// A connection that has not failed yet, with the statements that were prepared on it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) client: Client,
    session: Session,
    /// By where their text lies and how long it is: each call would hash thousands of letters in vain.
    statements: Mutex<HashMap<(usize, usize), Statement>>,
}

/// How a call failed.
pub(crate) enum CallError {
    /// There was no connection: nothing was asked.
    NotAsked(PortError),
    /// The server refused.
    Refused(tokio_postgres::Error),
    /// It was asked, and the answer was lost with the connection.
    AnswerLost(PortError),
}

impl CallError {
    pub(crate) fn into_port(self, operation: &'static str) -> PortError {
        match self {
            // A server that did not even let the connection be made was asked nothing.
            Self::NotAsked(error) if error.retry() == Retry::OutcomeUnknown => {
                error.with_retry(Retry::Later { after: None })
            }
            Self::NotAsked(error) => error,
            Self::Refused(error) => port_error(operation, error),
            Self::AnswerLost(error) => error.with_retry(Retry::OutcomeUnknown),
        }
    }
}

impl Live {
    pub(crate) async fn prepared(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let mut statements = self.statements.lock().await;
        let place = (sql.as_ptr().addr(), sql.len());
        if let Some(statement) = statements.get(&place) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        statements.insert(place, statement.clone());
        Ok(statement)
    }
}

impl Link {
    pub(crate) fn new(dialler: Dialler, role: Role, statement_timeout: Span) -> Self {
        // The server's own limit comes first, and says more.
        let patience = Span::from_millis(statement_timeout.as_millis().saturating_add(5_000));
        Self { dialler, role, patience, live: Mutex::new(None), discarded: Mutex::new(None) }
    }

    /// The connection, made anew where there is none.
    pub(crate) async fn live(&self, operation: &'static str) -> PortResult<Arc<Live>> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| !live.client.is_closed()) {
            return Ok(Arc::clone(live));
        }
        let (client, session) = self.dialler.dial_session(operation, self.role).await?;
        let made = Arc::new(Live { client, session, statements: Mutex::default() });
        *live = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Gives a connection up: whatever it was in the middle of ends with it.
    pub(crate) async fn discard(&self, failed: &Arc<Live>) {
        *self.discarded.lock().await = Some(failed.session);
        let mut live = self.live.lock().await;
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(live, failed)) {
            *live = None;
        }
    }

    /// The session that was given up last: on a connection that one call occupies, the one that its answer was lost with.
    pub(crate) async fn discarded(&self) -> Option<Session> {
        *self.discarded.lock().await
    }

    pub(crate) fn dialler(&self) -> &Dialler {
        &self.dialler
    }

    /// Closes the connection.
    pub(crate) async fn close(&self) {
        *self.live.lock().await = None;
    }

    /// Calls once.
    pub(crate) async fn call(
        &self,
        operation: &'static str,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, CallError> {
        let live = self.live(operation).await.map_err(CallError::NotAsked)?;
        let answered = self.patient(operation, &live, async {
            // Preparing changes nothing: a connection that is lost in it leaves nothing in doubt.
            let statement = live.prepared(sql).await.map_err(|error| match is_answer_lost(&error) {
                true => CallError::NotAsked(port_error(operation, error)),
                false => CallError::Refused(error),
            })?;
            live.client.query(&statement, parameters).await.map_err(|error| match is_answer_lost(&error) {
                true => CallError::AnswerLost(port_error(operation, error)),
                false => CallError::Refused(error),
            })
        });
        let answered = answered.await;
        if matches!(answered, Err(CallError::AnswerLost(_) | CallError::NotAsked(_))) {
            self.discard(&live).await;
        }
        answered
    }

    /// Calls what may be done twice: once more where the connection was lost.
    pub(crate) async fn read(
        &self,
        operation: &'static str,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> PortResult<Vec<Row>> {
        match self.call(operation, sql, parameters).await {
            Err(CallError::AnswerLost(_)) => {
                let again = self.call(operation, sql, parameters).await;
                again.map_err(|error| match error {
                    CallError::AnswerLost(error) => error.with_retry(Retry::Later { after: None }),
                    error => error.into_port(operation),
                })
            }
            // The connection had ended unnoticed.
            Err(CallError::NotAsked(error)) if error.retry() != Retry::Never => {
                self.call(operation, sql, parameters).await.map_err(|error| error.into_port(operation))
            }
            answered => answered.map_err(|error| error.into_port(operation)),
        }
    }

    /// Waits for an answer, and not for ever.
    pub(crate) async fn patient<T>(
        &self,
        operation: &'static str,
        live: &Arc<Live>,
        asked: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(self.patience.to_std(), asked).await {
            Ok(answered) => answered,
            Err(_elapsed) => {
                self.discard(live).await;
                Err(CallError::AnswerLost(no_answer(operation, self.patience)))
            }
        }
    }
}

/// The only row of an answer.
pub(crate) fn only(operation: &'static str, rows: Vec<Row>) -> PortResult<Row> {
    rows.into_iter().next().ok_or_else(|| crate::error::corrupt(operation, "no row"))
}

/// A column's value.
pub(crate) fn column<'r, T: tokio_postgres::types::FromSql<'r>>(
    operation: &'static str,
    row: &'r Row,
    index: usize,
) -> PortResult<T> {
    row.try_get(index).during(operation)
}
