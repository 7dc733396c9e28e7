"""Actions on groups, and the notifications that the clients in them receive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from whatsapp_simulator.network import Network
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import LID, USER, Jid
from whatsapp_simulator.world.groups import Group, GroupError, Role
from whatsapp_simulator.world.model import Person, lid_of
from whatsapp_simulator.world.world import World


class Change(StrEnum):
    """Changes to members."""

    ADD = "add"
    REMOVE = "remove"
    PROMOTE = "promote"
    DEMOTE = "demote"


class Setting(StrEnum):
    """Group settings; the values are those of the protocol."""

    LOCKED = "locked"
    UNLOCKED = "unlocked"
    ANNOUNCEMENT = "announcement"
    NOT_ANNOUNCEMENT = "not_announcement"


@dataclass(frozen=True, slots=True)
class Groups:
    """Actions on groups. The `actor` needs permission (GroupError otherwise) and is named in the notification."""

    network: Network

    def create(
        self, creator: Person, subject: str, people: list[Person], description: str = "", crowd: int = 0
    ) -> Group:
        """Create a group, owned by its creator."""
        world = self.network.world
        group = Group(
            id=world.chat_id(),
            subject=subject,
            creator=creator.phone,
            created=world.now(),
            invite=world.random(11).hex(),
            members={
                creator.phone: Role.OWNER,
                **{person.phone: Role.MEMBER for person in people if person is not creator},
            },
            subject_by=creator.phone,
            subject_at=world.now(),
            crowd=crowd,
        )
        if description:
            _describe(world, group, creator, description, "")
        world.groups.add(group)
        created = Node("create", {"type": "new", "key": world.message_id()}, [to_node(world, group)])
        self._notify(group, creator, created)
        return group

    def change_members(self, group: Group, actor: Person, change: Change, people: list[Person]) -> list[Person]:
        """Add, remove, promote or demote people; returns those who were changed."""
        group.require_admin(actor.phone)
        changed = [person for person in people if (person.phone in group.members) is (change is not Change.ADD)]
        if changed:
            self._apply(group, actor, change, changed)
        return changed

    def leave(self, group: Group, person: Person) -> None:
        """Leave a group."""
        group.require_member(person.phone)
        self._apply(group, person, Change.REMOVE, [person])

    def join(self, group: Group, person: Person) -> None:
        """Join a group by its invite link."""
        if person.phone not in group.members:
            self._apply(group, person, Change.ADD, [person], reason="invite")

    def rename(self, group: Group, actor: Person, subject: str) -> None:
        """Change the subject."""
        self._require_editor(group, actor)
        group.subject, group.subject_by, group.subject_at = subject, actor.phone, self.network.world.now()
        attrs: Attrs = {"subject": subject, "s_o": actor.lid_jid(), "s_o_pn": actor.phone_jid()}
        self._notify(group, actor, Node("subject", attrs | {"s_t": str(group.subject_at)}))

    def describe(self, group: Group, actor: Person, text: str, description_id: str = "") -> None:
        """Change the description; an empty one removes it."""
        self._require_editor(group, actor)
        _describe(self.network.world, group, actor, text, description_id)
        content = [Node("body", {}, text.encode())] if text else [Node("delete")]
        self._notify(group, actor, Node("description", {"id": group.description_id}, content))

    def switch(self, group: Group, actor: Person, setting: Setting) -> None:
        """Change who may write, or who may change subject and description."""
        group.require_admin(actor.phone)
        if setting in (Setting.LOCKED, Setting.UNLOCKED):
            group.locked = setting is Setting.LOCKED
        else:
            group.announce = setting is Setting.ANNOUNCEMENT
        self._notify(group, actor, Node(setting.value, {"v_id": self.network.world.message_id()}))

    def expire(self, group: Group, actor: Person, seconds: int) -> None:
        """Let messages disappear after this many seconds; 0: never."""
        self._require_editor(group, actor)
        group.ephemeral = seconds
        node = Node("ephemeral", {"expiration": str(seconds)}) if seconds else Node("not_ephemeral")
        self._notify(group, actor, node)

    def reset_invite(self, group: Group, actor: Person) -> None:
        """Replace the invite link; the old one becomes invalid."""
        group.require_admin(actor.phone)
        group.invite = self.network.world.random(11).hex()
        self._notify(group, actor, Node("invite", {"code": group.invite}))

    def _apply(self, group: Group, actor: Person, change: Change, people: list[Person], reason: str = "") -> None:
        world = self.network.world
        for person in people:
            if change is Change.REMOVE:
                group.members.pop(person.phone)
            elif change is Change.PROMOTE or change is Change.DEMOTE:
                if group.members[person.phone] is Role.OWNER:
                    raise GroupError(406, "owner", f"{person.phone} owns the group")
                group.members[person.phone] = Role.ADMIN if change is Change.PROMOTE else Role.MEMBER
            else:
                group.members[person.phone] = Role.MEMBER
        if change is Change.REMOVE:
            self._renew_keys(group)
        listed = [Node("participant", _participant(person)) for person in people]
        attrs: Attrs = {"v_id": world.message_id(), **({"reason": reason} if reason else {})}
        removed = people if change is Change.REMOVE else []
        if change is not Change.ADD:
            self._notify(group, actor, Node(change.value, attrs, listed), removed)
            return
        # New members receive the whole group; the others receive the list of new members.
        new = {person.phone for person in people}
        self._notify(group, actor, Node("create", {"type": "invite"}, [to_node(world, group)]), only=new)
        self._notify(group, actor, Node("add", attrs, listed), only=set(group.members) - new)

    def _renew_keys(self, group: Group) -> None:
        """Renew everyone's sender key, so that people who left cannot read new messages."""
        for phone in group.members:
            if (person := self.network.world.get(phone)) is not None:
                person.signal.sender_keys.pop(str(group.jid), None)

    def _require_editor(self, group: Group, actor: Person) -> None:
        if group.locked:
            group.require_admin(actor.phone)
        group.require_member(actor.phone)

    def _notify(
        self,
        group: Group,
        actor: Person,
        node: Node,
        removed: list[Person] | None = None,
        only: set[str] | None = None,
    ) -> None:
        world = self.network.world
        world.groups.touch(group)
        phones = group.members if only is None else only
        people = [*filter(None, map(world.get, phones)), *(removed or ())]
        more: Attrs = {
            "participant": actor.lid_jid(),
            "participant_pn": actor.phone_jid(),
            "notify": actor.name,
            "addressing_mode": "lid",
        }
        for person in people:
            for device in list(person.devices.values()):
                self.network.notify(person, device, "w:gp2", group.jid, [node], more)


def to_node(world: World, group: Group) -> Node:
    """A group as sent to clients."""
    creator, renamer = world.get(group.creator), world.get(group.subject_by)
    attrs: Attrs = {
        "id": group.id,
        "subject": group.subject,
        "creation": str(group.created),
        "s_t": str(group.subject_at),
        "size": str(len(group.members) + group.crowd),
        "addressing_mode": "lid",
    }
    if creator is not None:
        attrs |= {"creator": creator.lid_jid(), "creator_pn": creator.phone_jid()}
    if renamer is not None:
        attrs |= {"s_o": renamer.lid_jid(), "s_o_pn": renamer.phone_jid()}
    content = [_member(person, role) for phone, role in group.members.items() if (person := world.get(phone))]
    content += _crowd(group)
    content += [Node("announcement")] if group.announce else []
    content += [Node("locked")] if group.locked else []
    content += [Node("ephemeral", {"expiration": str(group.ephemeral)})] if group.ephemeral else []
    if group.description:
        about: Attrs = {"id": group.description_id, "t": str(group.description_at)}
        if (author := world.get(group.description_by)) is not None:
            about |= {"participant": author.lid_jid(), "participant_pn": author.phone_jid()}
        content.append(Node("description", about, [Node("body", {}, group.description.encode())]))
    return Node("group", attrs, [*content, Node("member_add_mode", {}, b"all_member_add")])


def _describe(world: World, group: Group, actor: Person, text: str, description_id: str) -> None:
    group.description, group.description_by, group.description_at = text, actor.phone, world.now()
    group.description_id = description_id or world.message_id()


def _crowd(group: Group) -> Iterator[Node]:
    """Members of whom nothing exists but their addresses, which differ from those in other groups."""
    first = int(group.id) * 10**4 % 10**11
    for number in range(first, first + group.crowd):
        phone = f"9999{number:011}"
        yield Node("participant", {"jid": Jid(lid_of(phone), LID), "phone_number": Jid(phone, USER)})


def _participant(person: Person) -> Attrs:
    return {"jid": person.lid_jid(), "phone_number": person.phone_jid()}


def _member(person: Person, role: Role) -> Node:
    attrs = _participant(person)
    return Node("participant", attrs if role is Role.MEMBER else attrs | {"type": role.value})
