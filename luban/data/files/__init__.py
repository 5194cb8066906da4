"""Files of records found, opened and read: text, tables, archives."""
