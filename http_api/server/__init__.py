"""What every door needs: the gunicorn worker, middleware, guards, bodies, errors."""
