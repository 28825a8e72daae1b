//! What happened when: the states of a database behind each commit of its log.
//!
//! `commits` tells the transactions of a log apart, `pages` what each page was in each state, `walk` goes from state to
//! state and compares the rows of the pages that changed, `lifetimes` says of each version when it stood,
//! `events` keeps what happened to each, `renumbered` the row ids that VACUUM gave, `timeline` lists the transactions, `point` finds the state that a user names, `reach` says whether its pages are there, `replay` writes
//! them, `between` holds two states against one another, `changes` reads the rows that differ.

mod between;
mod changes;
mod commits;
mod dated;
mod events;
mod files;
mod followed;
mod lifetimes;
mod objects;
mod pages;
mod point;
mod ranges;
mod reach;
mod renumbered;
mod replay;
mod rows;
mod timeline;
mod undo;
mod walk;

pub(super) use changes::read as difference;
pub(super) use commits::{Commits, Framed, Held, LogCommit};
pub(super) use lifetimes::{IdSince, IdsSince, Lifetimes, OfTable};
pub(super) use objects::children;
pub(super) use pages::Pages;
pub(super) use point::{States, Told, last_transaction};
pub(super) use reach::Reached;
pub(super) use replay::write as replay;
pub(super) use timeline::read as timeline;
pub(super) use undo::read as undoable;
