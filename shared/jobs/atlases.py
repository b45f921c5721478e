"""The atlases that users brought: stored once by their digest, which is what a job's spec keeps of them."""

from collections import OrderedDict
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import FieldError, InvalidInput
from shared.questions.atlas import DomainAtlas, atlas_for
from shared.questions.atlas_content import AtlasContent

STORE = text("INSERT INTO atlas (digest, content) VALUES (:digest, :content) ON CONFLICT (digest) DO NOTHING")
READ = text("SELECT content FROM atlas WHERE digest = :digest")

# Of this process, the ones used last; content never changes under its digest. About 1 MB for each of a thousand leaves.
_MOST_SHELVED = 64
_shelf: OrderedDict[tuple[str, str], DomainAtlas] = OrderedDict()


async def find_atlas(conn: AsyncConnection, domain: str, digest: str | None) -> DomainAtlas:
    """The atlas by which a domain's prompts are drawn: the user's if there is a digest. Raises InvalidInput."""
    if digest is None:
        return atlas_for(domain)
    if (domain, digest) in _shelf:
        _shelf.move_to_end((domain, digest))
        return _shelf[domain, digest]
    content = (await conn.execute(READ, {"digest": digest})).scalar_one_or_none()
    if content is None:
        raise InvalidInput(
            f"atlas.{domain}: no atlas {digest} is stored here; post its content",
            [FieldError(f"atlas.{domain}", "not stored here; post its content")],
        )
    return _shelve(domain, AtlasContent.model_validate_json(content))


async def read_atlases(
    conn: AsyncConnection, domains: Mapping[str, object], wanted: Mapping[str, AtlasContent | str]
) -> dict[str, DomainAtlas]:
    """The atlas of every domain of a mix, where the spec may give its content or name it. Raises InvalidInput."""
    found = {}
    for domain in domains:
        given = wanted.get(domain)
        if isinstance(given, AtlasContent):
            found[domain] = given.to_atlas(domain)
        else:
            found[domain] = await find_atlas(conn, domain, given)
    return found


async def store_atlases(conn: AsyncConnection, given: Mapping[str, AtlasContent | str]) -> None:
    """Keep the contents that a spec gives."""
    for content in given.values():
        if isinstance(content, AtlasContent):
            await conn.execute(STORE, {"digest": content.digest, "content": content.model_dump_json()})


def _shelve(domain: str, content: AtlasContent) -> DomainAtlas:
    atlas = content.to_atlas(domain)
    _shelf[domain, content.digest] = atlas
    if len(_shelf) > _MOST_SHELVED:
        _shelf.popitem(last=False)
    return atlas
