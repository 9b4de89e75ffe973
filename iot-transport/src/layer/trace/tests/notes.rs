//! A subscriber that writes down every span and event with its fields.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) line: String,
    /// The span that it is about or in.
    pub(super) span: Option<u64>,
}

#[derive(Default)]
struct State {
    notes: Vec<Note>,
    /// How many handles of each span there are, and its number is its place from 1.
    handles: Vec<usize>,
    entered: Vec<u64>,
}

#[derive(Clone, Default)]
pub(super) struct Notes(Arc<Mutex<State>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn core::fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

pub(super) fn number(span: Option<u64>) -> String {
    format!("span={} ", span.unwrap())
}

impl Notes {
    /// The one note with all these words.
    #[track_caller]
    pub(super) fn one(&self, words: &[&str]) -> Note {
        let all = self.0.lock().unwrap().notes.clone();
        let has = |note: &&Note| words.iter().all(|word| note.line.contains(word));
        let found: Vec<_> = all.iter().filter(has).collect();
        assert_eq!(found.len(), 1, "{words:?} in {all:#?}");
        found[0].clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        state.notes.iter().map(|note| note.line.clone()).collect()
    }

    #[track_caller]
    pub(super) fn position(&self, words: &[&str]) -> usize {
        let one = self.one(words).line;
        self.lines().iter().position(|line| *line == one).unwrap()
    }

    #[track_caller]
    pub(super) fn tells_nothing_of(&self, word: &str) {
        let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
        for line in self.lines() {
            assert!(!line.contains(word) && !line.contains(&hex), "{line}");
        }
    }

    fn add(&self, line: Line, span: Option<u64>) {
        let line = line.0;
        self.0.lock().unwrap().notes.push(Note { line, span });
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "iot_transport"
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut line = Line(format!("span {}", attributes.metadata().name()));
        attributes.record(&mut line);
        let mut state = self.0.lock().unwrap();
        state.handles.push(1);
        let number = u64::try_from(state.handles.len()).unwrap();
        let span = Some(number);
        state.notes.push(Note { line: line.0, span });
        Id::from_u64(number)
    }
    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut line = Line("record".into());
        values.record(&mut line);
        self.add(line, Some(id.into_u64()));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line("event".into());
        event.record(&mut line);
        let current = self.0.lock().unwrap().entered.last().copied();
        let parent = event.parent().map(Id::into_u64);
        self.add(line, parent.or(current));
    }
    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().entered.push(id.into_u64());
    }
    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().entered.pop();
    }
    fn clone_span(&self, id: &Id) -> Id {
        let place = usize::try_from(id.into_u64()).unwrap() - 1;
        self.0.lock().unwrap().handles[place] += 1;
        id.clone()
    }
    fn try_close(&self, id: Id) -> bool {
        let place = usize::try_from(id.into_u64()).unwrap() - 1;
        let mut state = self.0.lock().unwrap();
        state.handles[place] -= 1;
        let closed = state.handles[place] == 0;
        if closed {
            let (span, line) = (
                Some(id.into_u64()),
                format!("close span={} ", id.into_u64()),
            );
            state.notes.push(Note { line, span });
        }
        closed
    }
}
