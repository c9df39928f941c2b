"""Files of schedules (CSV, iCalendar) into bulk requests: read, map, send, and say what became of each line."""
