"""Column names of all tables."""


class Columns:
    """Column names of the item table and the interaction table.

    Example:
        >>> import tpad
        >>> tpad.Columns.ITEM_ID, tpad.Columns.TIMESTAMP
        ('item_id', 'timestamp')
    """

    ITEM_ID = "item_id"
    TITLE = "title"
    DESCRIPTION = "description"
    CATEGORY = "category"
    PRICE = "price"
    IMAGE = "image"

    SESSION_ID = "session_id"
    USER_ID = "user_id"
    TIMESTAMP = "timestamp"
    SPLIT = "split"
    IS_HISTORY = "is_history"

    SCORE = "score"
    RANK = "rank"
    IS_COLD = "is_cold"
