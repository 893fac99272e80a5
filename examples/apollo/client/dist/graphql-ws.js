const UNAUTHORIZED = 4401;
const FORBIDDEN = 4403;
/** Closes a socket that graphql-ws opens again. */
const RESTART = 4499;
/** The interval at which an open socket checks whether to renew the token, in milliseconds. */
const CHECK_INTERVAL = 30_000;
/** Returns options for one call of `createClient` of graphql-ws. */
export function socketOptions(session) {
    let socket;
    // The token of the last socket, or undefined if it had no credentials.
    let token;
    // Whether a session has ended since the subscriptions started, also if no socket was open. They end, and do not continue
    // without credentials or as the next user.
    let isOver = false;
    let lastCode;
    let check;
    const restart = () => socket?.close(RESTART, "The token changes.");
    session.onTokenChange(() => {
        isOver ||= !session.getSnapshot().user;
        restart();
    });
    return {
        async connectionParams() {
            token = await session.token();
            return token ? { authorization: `Bearer ${token}` } : {};
        },
        shouldRetry: () => !isOver,
        retryAttempts: Infinity,
        async retryWait(retries) {
            // The subscriptions that wait passed shouldRetry, or have just started.
            isOver = false;
            if (lastCode === RESTART)
                return;
            // The token has expired, or the role of the user has changed: get the current state.
            if (lastCode === FORBIDDEN)
                await session.renew();
            const wait = Math.min(2 ** retries, 30) * (500 + 500 * Math.random());
            await new Promise((resolve) => setTimeout(resolve, wait));
        },
        on: {
            connecting(isRetry) {
                if (!isRetry)
                    isOver = false;
            },
            opened(opened) {
                socket = opened;
                // graphql-ws sends nothing on a socket that is closed here.
                if (isOver)
                    restart();
                // An open socket counts as a use of the session.
                check = setInterval(session.token, CHECK_INTERVAL);
            },
            closed(event) {
                clearInterval(check);
                socket = undefined;
                lastCode = event.code;
                if (lastCode === UNAUTHORIZED && token)
                    session.refuse(token);
            },
        },
    };
}
