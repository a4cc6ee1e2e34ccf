//! What happened how often: a fault that never occurs proves nothing.

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident)+) => {
        /// Counters of one world, or the sum over many.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Counts {
            /// Adds those of another world.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }

            /// Name and value of each.
            pub fn table(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),+]
            }
        }
    };
}

counts! {
    /// Events.
    events
    /// Cards put in.
    visits
    /// Receptions whose T1 was acknowledged.
    receptions
    /// Receptions shown as done.
    done
    /// Of these, without an answer.
    provisional
    /// Of these, not eligible.
    ineligible
    /// Receptions given up between T1 and T2.
    abandoned
    /// The process died.
    crashes
    /// Of these, with writes on their way to the disk.
    crashes_while_writing
    /// The power went, too: a new boot.
    power_losses
    /// A reader's actor died.
    reader_restarts
    /// A reader failed.
    reader_faults
    /// The courier's actor died.
    courier_restarts
    /// Cards that were left in through a restart and found recorded.
    resumes
    /// Writes that a full disk refused.
    full_disk_refusals
    /// T1 or T2 that never made it in time.
    not_written
    /// Writes that took seconds.
    slow_writes
    /// Jumps of the wall clock.
    clock_jumps
    /// The line went down.
    line_downs
    /// Messages lost before they took effect.
    lost_requests
    /// Messages lost after they took effect.
    lost_answers
    /// Messages that arrived twice.
    duplicates
    /// Requests that the central system knew already.
    recognised
    /// Answers that nobody waited for any more.
    late_answers
    /// The central system asked for a pause.
    busy
    /// The central system could not process a question.
    not_processed
    /// Requests refused for good.
    rejected
    /// Verdicts that were attached after the reception had ended.
    late_verdicts
    /// Cards pulled before the end.
    pulled
    /// Cards pulled, or 取消 pressed, while T2 was under way.
    too_late_to_leave
    /// Buttons of a screen that was gone.
    stale_presses
    /// Wrong PINs.
    wrong_pins
    /// Faces that did not match.
    wrong_faces
    /// Decisions of staff.
    staff_decisions
    /// PINs that were forgotten.
    forgotten_pins
    /// PINs typed by somebody who came along.
    by_proxy
    /// Receptions that staff did the rest of, or tried to.
    assisted
    /// Receptions verified by a look of staff.
    staff_looks
    /// Cards whose face was locked by attempts of earlier receptions.
    faces_locked
    /// Locked faces that a PIN or a look of staff opened again, those locked by the same reception included.
    faces_unlocked
    /// 初回登録 that was wanted.
    registrations
    /// Cases opened.
    cases
    /// Of these, ended with the insurance confirmed, in the end.
    cases_confirmed
    /// Of these, ended because their time was over.
    cases_expired
    /// Of these, ended by staff.
    cases_by_staff
    /// Of these, ended because there was nothing to do but to tell the patient.
    cases_told
    /// Questions that cases asked.
    asked_again
    /// Answers that found their case ended.
    after_the_end
    /// What staff did to a case, and were told that it is written down.
    orders_done
    /// What staff wanted to do to a case that had moved on, or does not take it.
    orders_refused
    /// What staff did that could not be written, or fell to a crash.
    orders_lost
    /// Answers whose person staff had to look at.
    people_checked
    /// Steps of a case that another one had overtaken.
    steps_taken_anew
    /// The reconciler's actor died.
    reconciler_restarts
    /// Cards left in until the reminder.
    left_behind
    /// A patient at a second reader, or again, while an earlier question was still on its way.
    same_patient_again
    /// Receptions that were linked to an earlier one of the same visit.
    linked
    /// The same, as the store saw it by its own clock.
    linked_by_store
    /// Late answers that were about another person.
    other_people
    /// Late answers that spelt the patient in another way.
    other_spellings
}
