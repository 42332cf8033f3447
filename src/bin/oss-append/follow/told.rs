//! What `follow` says on standard error about files.

use oss_append::FollowEvent;

use crate::output;

/// Says what was noticed of a file.
pub(super) fn note(event: FollowEvent) {
    if let Some(line) = line(&event) {
        output::note(line);
    }
}

fn line(event: &FollowEvent) -> Option<String> {
    Some(match event {
        FollowEvent::Begun { file, position, .. } => {
            format!("following {} from byte {position}", file.display())
        }
        FollowEvent::Truncated {
            path,
            position,
            copy,
            ..
        } => {
            let path = path.display();
            let rest = match copy {
                Some(copy) => format!("the rest is in {}", copy.display()),
                None => "no copy has more".into(),
            };
            format!("{path} was truncated after it was read up to byte {position}; {rest}")
        }
        FollowEvent::Lost { file, from, to, .. } => {
            let file = file.display();
            match to {
                Some(to) => format!("bytes {from} to {to} of {file} cannot be had any more"),
                None => format!(
                    "what {file} had behind byte {from}, if anything, cannot be had any more"
                ),
            }
        }
        FollowEvent::Hole { file, zeros, .. } => format!(
            "{} begins with {zeros} zeros, which are not sent: its writer does not append (O_APPEND)",
            file.display()
        ),
        FollowEvent::Unreadable { file, .. } => format!(
            "{} is left out: it is not complete, or compressed in another way than by gzip",
            file.display()
        ),
        FollowEvent::Late { file, bytes, .. } => format!(
            "{bytes} bytes were written to {} after the next file was begun",
            file.display()
        ),
        FollowEvent::Gone { path, .. } => {
            format!("{} is not there; it is waited for", path.display())
        }
        FollowEvent::Waiting { reason, .. } => format!("{reason}; trying again"),
        FollowEvent::Failed { reason, .. } => reason.clone(),
        _ => return None,
    })
}
