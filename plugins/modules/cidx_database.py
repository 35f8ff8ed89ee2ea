# Documented in cidx_database.yml; the work is done by the action plugin and cidx-helper.
