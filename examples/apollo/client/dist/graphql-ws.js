import { SymbolonError } from "./error.js";
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
    // Whether the user of the last socket has signed out. The subscriptions end. They do not continue without credentials.
    let isOver = false;
    let lastCode;
    let check;
    const restart = () => (isOver = false);
    session.onTokenChange(() => {
        isOver ||= !!token && !session.getSnapshot().user;
        socket?.close(RESTART, "The token changes.");
    });
    return {
        async connectionParams() {
            token = await session.token();
            if (isOver) {
                restart();
                throw new SymbolonError("The session has ended.", { code: "SESSION_ENDED" });
            }
            return token ? { authorization: `Bearer ${token}` } : {};
        },
        // A connection that fails causes an event of the browser, not an instance of Error.
        shouldRetry: (failure) => !isOver && !(failure instanceof SymbolonError),
        retryAttempts: Infinity,
        async retryWait(retries) {
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
                    restart();
            },
            opened(opened) {
                socket = opened;
                // An open socket counts as a use of the session.
                check = setInterval(session.token, CHECK_INTERVAL);
            },
            closed(event) {
                clearInterval(check);
                socket = undefined;
                lastCode = event.code;
                if (lastCode === UNAUTHORIZED && token)
                    session.refuse(token);
                // graphql-ws first calls shouldRetry for each subscription.
                setTimeout(restart);
            },
        },
    };
}
