"""The one SQLAlchemy MetaData that every package declares its tables on.

Constraint and index names follow one convention on both databases, so that a migration can
name what it changes. A table is on `metadata` once the module that declares it is imported;
`streams.db` imports no package's tables.
"""

from sqlalchemy import MetaData

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)
