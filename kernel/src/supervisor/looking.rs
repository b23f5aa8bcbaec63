//! Code that only looks at the variables, for a front end's list of them: a copy of the user
//! process runs it, so there is nothing to undo.

use super::event_loop::{Phase, Watch, answer_evcxr};
use crate::evcxr::control_lines::ended;
use crate::protocol::{Checkpoint, ToUser};

impl Watch {
    /// Has a copy of the user process look. It ends by itself, whatever the code does.
    pub(super) fn start_look(&mut self, object: &str, function: &str) {
        self.looks = false;
        self.phase = Phase::Looking;
        self.user.control.send(&ToUser::Look {
            object: object.to_owned(),
            function: function.to_owned(),
        });
    }

    /// The copy has ended.
    pub(super) fn finish_look(&mut self) {
        if !matches!(self.phase, Phase::Looking) {
            return;
        }
        self.phase = Phase::Idle;
        answer_evcxr(ended(&[]));
        // It may have been lost, or asked for, in the meantime.
        if self.snapshot.is_none() && self.board.checkpoint() != Checkpoint::Off {
            self.ask_for_snapshot();
        }
    }
}
